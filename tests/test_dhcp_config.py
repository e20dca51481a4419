"""The lines for DHCP servers, read by the real servers where they are here."""

import io
import json
import subprocess

import pytest
from django.core.management import CommandError, call_command

from lab import needs


def lines_for(server: str, network: str = "10.0.0.0/24") -> str:
    out = io.StringIO()
    call_command("dhcp-config", server, network=network, tftp_server="10.0.0.2", stdout=out, stderr=io.StringIO())
    return out.getvalue()


@pytest.mark.parametrize("server", ["dnsmasq-proxy", "dnsmasq"])
def test_dnsmasq_takes_its_lines(server, tmp_path):
    if needs.program("dnsmasq") is None:
        pytest.skip("dnsmasq is not installed")
    path = tmp_path / "dnsmasq.conf"
    path.write_text(lines_for(server))
    subprocess.run([str(needs.program("dnsmasq")), "--test", f"--conf-file={path}"], check=True)


@pytest.mark.parametrize(
    ("server", "program", "options"), [("isc", "dhcpd", ("-t", "-cf")), ("kea", "kea-dhcp4", ("-t",))]
)
def test_other_servers_take_their_lines(server, program, options, tmp_path):
    """Where they are installed; neither belongs to what the tests ask of Debian."""
    found = needs.program(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    path = tmp_path / server
    path.write_text(lines_for(server))
    subprocess.run([found, *options, str(path)], check=True, capture_output=True)


def test_kea_gets_json_with_the_network():
    subnet = json.loads(lines_for("kea"))["Dhcp4"]["subnet4"][0]
    assert (subnet["subnet"], subnet["pools"][0]["pool"]) == ("10.0.0.0/24", "10.0.0.128 - 10.0.0.254")


@pytest.mark.parametrize("server", ["dnsmasq-proxy", "dnsmasq", "kea", "isc"])
def test_every_server_sends_ipxe_to_dodai_and_uefi_to_snponly(server):
    text = lines_for(server)
    assert "http://127.0.0.1:8001/boot.ipxe" in text
    assert "snponly.efi" in text
    assert "undionly.kpxe" in text


@pytest.mark.parametrize("network", ["10.0.0.1/24", "x", "10.0.0.0/30"])
def test_a_bad_network_is_named(network):
    with pytest.raises(CommandError, match="--network"):
        lines_for("isc", network)
