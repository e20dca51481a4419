"""The lines of `dhcp-config` bring a machine to Dodai: by its firmware's own PXE, TFTP, iPXE and HTTP.

Each network has real DHCP servers with exactly the printed lines. A machine that the provisioning listener does not
know becomes a sighting: that is the proof that the whole way works.
"""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lab import needs
from tests.boot_network import NETWORK, PORT, ROOT, SERVER, URL, Network, hide, network
from tests.practice_lab import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="networks of their own need root"),
    pytest.mark.skipif(bool(needs.missing()), reason="Debian packages are missing"),
]
SECONDS = 400  # some 45 s on an idle host
MACS = {"bios": "52:54:00:b1:05:01", "uefi": "52:54:00:0e:f1:01"}
LOADERS = {"bios": "undionly.kpxe", "uefi": "snponly.efi"}
PLATFORMS = {"bios": "pcbios", "uefi": "efi"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    data = tmp_path_factory.mktemp("dhcp")
    names = {"DODAI_DATA": str(data), "DODAI_PROVISION_URL": URL, "DJANGO_SETTINGS_MODULE": "dodaiweb.settings"}
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "-v", "0"],
        env=os.environ | names,
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    subprocess.run(
        [sys.executable, "-m", "django", "tftp-files", tftp_of(names)], env=os.environ | names, cwd=ROOT, check=True,
        timeout=120,
    )  # fmt: skip
    return names


@pytest.fixture(scope="module")
def networks(environment, tmp_path_factory):
    """Both networks with both machines booting in each, all four at once."""
    folder = tmp_path_factory.mktemp("networks")
    with network(folder / "full") as full, network(folder / "proxy") as proxy:
        full.serve_dhcp(printed(environment, "dnsmasq"), log="ours")
        proxy.serve_dhcp(printed(environment, "dnsmasq-proxy"), log="ours")
        other = "port=0\ndhcp-range=10.9.0.100,10.9.0.150,255.255.255.0,1h\ndhcp-authoritative\n"
        proxy.serve_dhcp(other, log="other", inside_of=proxy.add_other_server())
        for number, each in enumerate((full, proxy)):
            listener = ("-m", "django", "provision", "--host", SERVER, "--port", str(PORT))
            each.start(sys.executable, *listener, log="provision", environment=environment)
            for firmware, mac in MACS.items():
                each.boot(firmware, mac[:-1] + str(1 + number))
        yield {"full": full, "proxy": proxy}


def printed(environment: dict[str, str], server: str) -> str:
    command = [sys.executable, "-m", "django", "dhcp-config", server, "--network", NETWORK]
    done = subprocess.run(
        [*command, "--tftp-root", tftp_of(environment)], env=os.environ | environment, cwd=ROOT, check=True,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stderr == "", "no warning is printed for a URL that machines can reach"
    return done.stdout


def tftp_of(environment: dict[str, str]) -> str:
    return f"{environment['DODAI_DATA']}/tftp"


def platform_seen(data: str, mac: str) -> str | None:
    with closing(sqlite3.connect(f"file:{Path(data) / 'dodai.sqlite3'}?mode=ro", uri=True)) as database:
        row = database.execute("select platform from machines_sighting where mac = ?", (mac,)).fetchone()
    return row[0] if row else None


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize("mode", ["full", "proxy"])
def test_the_printed_lines_bring_a_machine_to_dodai(networks, environment, mode, firmware):
    here: Network = networks[mode]
    mac = MACS[firmware][:-1] + {"full": "1", "proxy": "2"}[mode]
    try:
        seen = wait_until(
            lambda: platform_seen(environment["DODAI_DATA"], mac), seconds=SECONDS, what=f"{mac} at {URL}"
        )
    except AssertionError as exc:
        console = (here.folder / f"{firmware}.console").read_text(errors="replace")[-2000:]
        raise AssertionError(f"{exc}\n{here.log('ours')[-6000:]}\n{console}\n{here.log(firmware)}") from exc
    assert seen == PLATFORMS[firmware]
    for name in (LOADERS[firmware], "dodai.ipxe"):
        assert f"sent {tftp_of(environment)}/{name}" in here.log("ours"), "by TFTP, as network cards must"
    if mode == "proxy":
        assert mac in here.log("other"), "its address came from the other server"


def test_the_disguise_hides_ipxe_and_nothing_else():
    head = bytes(12) + b"\x08\x00" + bytes(9) + b"\x11" + bytes(10) + b"\x00\x44\x00\x43" + b"\xaa" * 4 + bytes(240)
    question = head + b"\x35\x01\x01" + b"\x4d\x04iPXE" + b"\xaf\x02\x01\x01" + b"\x3c\x01P\xff"
    hidden = hide(question)
    assert (len(hidden), b"\x4d\x04" in hidden, b"\xaf\x02" in hidden) == (len(question), False, False)
    assert hidden.endswith(b"\x3c\x01P\xff")
    assert hide(b"\0" * 12 + b"\x08\x06" + b"\xaf\x02" * 40) == b"\0" * 12 + b"\x08\x06" + b"\xaf\x02" * 40
