"""The lines for DHCP servers, read by the real servers where they are here."""

import io
import json
import subprocess

import pytest
from django.core.management import CommandError, call_command

from installs import dhcp
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
    assert "dodai.ipxe" in text
    assert "snponly.efi" in text
    assert "undionly.kpxe" in text


def test_what_a_tftp_server_needs_is_put_into_its_folder(tmp_path):
    if not dhcp.IPXE_FOLDER.is_dir():
        pytest.skip("ipxe is not installed")
    out = io.StringIO()
    call_command("tftp-files", str(tmp_path / "tftp"), stdout=out, stderr=io.StringIO())
    found = {path.name: path for path in (tmp_path / "tftp").iterdir()}
    assert set(found) == {"undionly.kpxe", "snponly.efi", "dodai.ipxe"}
    assert "boot.ipxe?mac=${netX/mac:hexhyp}" in found["dodai.ipxe"].read_text()
    assert "http://127.0.0.1:8001/boot.ipxe" in found["dodai.ipxe"].read_text()
    assert {path.stat().st_mode & 0o777 for path in found.values()} == {0o644}, "as TFTP servers want it"
    assert out.getvalue().split() == [str(found[name]) for name in ("undionly.kpxe", "snponly.efi", "dodai.ipxe")]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "tftp").write_text("a file")
    with pytest.raises(CommandError, match="tftp: "):
        call_command("tftp-files", str(tmp_path / "tftp"), stdout=io.StringIO(), stderr=io.StringIO())


def test_missing_ipxe_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(dhcp, "IPXE_FOLDER", tmp_path / "none")
    with pytest.raises(CommandError, match="apt-get install ipxe"):
        call_command("tftp-files", str(tmp_path), stdout=io.StringIO(), stderr=io.StringIO())


@pytest.mark.parametrize("network", ["10.0.0.1/24", "x", "10.0.0.0/30"])
def test_a_bad_network_is_named(network):
    with pytest.raises(CommandError, match="--network"):
        lines_for("isc", network)
