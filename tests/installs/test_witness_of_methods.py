"""Every method whose OS is to call when it is up has the second witness: it is looked for, and shows the sign."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from installs import flow, scripts, sweep, tokens
from installs.methods import METHODS
from installs.models import Install
from tests import installing
from tests.guarantees.test_second_witness import listening
from tests.test_scripts import VALUES

CALLED = [slug for slug, method in METHODS.items() if "installed" in method.waits.values() and not method.by_operator]
TOKEN = "t" * 43
SCRIPTS = {
    "file-tree": "file_tree/install.sh", "disk-image": "disk_image/install.sh", "iscsi": "iscsi/install.sh",
    "live": "live/boot.sh", "preseed": "installer/install.sh", "kickstart": "installer/install.sh",
    "autoinstall": "installer/install.sh",
}  # fmt: skip


def waiting(slug: str) -> Install:
    """An install whose OS had its time to call."""
    machine, method, moment = installing.make_machine(state="installing"), METHODS[slug], now()
    machine.interfaces.update(address="10.0.0.7/24")
    step = next(at for at, name in enumerate(method.steps) if method.waits.get(name) == "installed")
    grant = {"granted_at": moment, "granted_boot_id": "b"} if method.writes_disks else {}
    return Install.objects.create(
        machine=machine, method=slug, image=installing.make_image(), plan_digest="x", state="waiting", step=step,
        awaited="installed", silence=timedelta(minutes=15), quiet_until=moment - timedelta(seconds=1),
        give_up_at=moment - timedelta(seconds=1), waits_since=moment - timedelta(minutes=15),
        first_boot_hash=tokens.digest(TOKEN), **grant,
    )  # fmt: skip


@pytest.mark.parametrize("is_up", [True, False])
@pytest.mark.parametrize("slug", CALLED)
def test_its_os_is_known_by_the_sign(db, fake_power, monkeypatch, slug: str, is_up: bool) -> None:
    from installs import witness

    install = waiting(slug)
    sign = tokens.sign(tokens.digest(TOKEN)) if is_up else "dodai-of-an-older-attempt"
    with listening(lambda: [f"SSH-2.0-OpenSSH_9.2p1 {sign}\r\n".encode()]) as port:
        monkeypatch.setattr(witness, "SSH_PORT", port)
        monkeypatch.setattr(witness, "addresses", lambda looked_for: ["127.0.0.1"])
        sweep.sweep()
        assert flow.run_due()
    install.refresh_from_db()
    assert (install.state, install.confirmed_at) == ("installed" if is_up else "waiting", None)


@pytest.mark.parametrize("slug", CALLED)
def test_its_script_writes_the_sign(slug: str) -> None:
    of_disks = {"samples": "", "sample_bytes": 1, "root_partition": 0, "grow": True, "set_up_by": "auto"}
    text = scripts.render(SCRIPTS[slug], **VALUES | of_disks)
    assert "\nwrite_sign() {" in text
    assert [line for line in text.splitlines() if line.strip() == "write_sign"], "and it is called"
