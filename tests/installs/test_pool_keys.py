"""The keys of installs into the pool: who is told them, when they are forgotten, and which host keys are believed."""

import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key
from django.http import QueryDict

from installs import actions, flow, scripts
from installs.handover import host_keys, keypair
from installs.models import Install, MachineKey, SshKey
from installs.settings_document import document, shell_settings
from machines.models import Machine
from tests import installing

OWNERS = "ssh-ed25519 " + "A" * 60


@pytest.fixture
def machine(db, fake_power, named_ramdisk, settings):
    settings.ROOT_URLCONF, settings.MIDDLEWARE = "dodaiweb.provision_urls", []
    return installing.make_machine()


def pooled(machine, **fields) -> Install:
    return actions.start_install(machine, installing.make_image(**fields), by="tester", for_pool=True)


def public(pair) -> str:
    return pair.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


ED25519, OTHER = public(Ed25519PrivateKey.generate()), public(Ed25519PrivateKey.generate())
ECDSA = public(ec.generate_private_key(ec.SECP256R1()))
RSA, SHORT_RSA = (public(rsa.generate_private_key(65537, bits)) for bits in (2048, 1024))


def go(machine, **said: str) -> Install:
    """The whole install, with what the OS says in its first call."""
    install, server = Install.objects.get(), installing.Server(machine)
    flow.begin_next()
    while flow.run_due() and not server.boot():
        pass
    server.finish_first_boot(server.ask_grant(), **said)
    while flow.run_due():
        pass
    install.refresh_from_db()
    machine.refresh_from_db()
    return install


def alerts(install) -> set[str]:
    return set(install.events.filter(kind="alert").values_list("name", flat=True))


def test_only_the_os_of_the_pool_gets_the_machines_own_key(machine):
    SshKey.objects.create(name="one", public_key=OWNERS)
    install = pooled(machine)
    kept = MachineKey.objects.get()
    told = document(install, "t" * 43)
    assert told["authorized_keys"] == [OWNERS, kept.public_key]
    assert kept.public_key in shell_settings(install, "t" * 43)
    pair = load_ssh_private_key(kept.private_key.encode(), None)
    assert kept.public_key == f"{public(pair)} {keypair.COMMENT}"
    assert "PRIVATE" not in kept.private_sealed and kept.private_sealed.startswith("v2.")
    assert document(install, "t" * 43) == told
    other = actions.start_install(installing.make_machine("node2", number=2), install.image, by="tester")
    assert document(other, "t" * 43)["authorized_keys"] == [OWNERS]
    assert not MachineKey.objects.filter(install=other).exists()


def test_a_pooled_machine_waits_for_its_owner(machine):
    pooled(machine)
    install = go(machine, host_keys=f"{ED25519}\n{RSA}\n")
    assert (install.state, machine.state) == ("installed", "warm")
    kept = MachineKey.objects.get()
    assert kept.host_keys == sorted([ED25519, RSA]) and kept.is_kept
    assert alerts(install) == set()


def test_an_install_for_somebody_keeps_no_host_keys(machine):
    installing.start(machine)
    install = go(machine, host_keys=ED25519)
    assert (install.state, machine.state, MachineKey.objects.count(), alerts(install)) == (
        "installed",
        "in_use",
        0,
        set(),
    )


def test_cloud_init_tells_them_in_its_own_way(machine):
    pooled(machine)
    install = go(machine, pub_key_ed25519=f"{ED25519} root@node1\n", pub_key_rsa="N/A", pub_key_ecdsa=ECDSA)
    assert MachineKey.objects.get().host_keys == sorted([ED25519, ECDSA])
    assert alerts(install) == set()


@pytest.mark.parametrize(
    "junk",
    ["x", "ssh-ed25519 AAAA", ED25519[:-9], f"{ED25519}\0", "ssh-rsa " + ED25519.split()[1], SHORT_RSA, "é" * 3000,
     "ssh-ed25519-cert-v01@openssh.com " + ED25519.split()[1], ED25519 + "x" * 2000, "\n".join(["y"] * 10000)],
)  # fmt: skip
def test_junk_is_no_host_key_and_ends_no_install(machine, junk):
    pooled(machine)
    install = go(machine, host_keys=junk)
    assert (install.state, MachineKey.objects.get().host_keys) == ("installed", [])
    assert alerts(install) == {"host-keys-junk", "host-keys-none"}


def test_the_good_ones_beside_junk_count(machine):
    pooled(machine)
    install = go(machine, host_keys=f"junk\n{ED25519} a comment\n")
    assert MachineKey.objects.get().host_keys == [ED25519]
    assert alerts(install) == {"host-keys-junk"}


def test_the_first_ones_count_for_ever(machine):
    install = pooled(machine)
    for told, found in ((ED25519, set()), (ED25519, set()), (OTHER, {"host-keys-others"}), ("", {"host-keys-others"})):
        host_keys.record(install, host_keys.parse([told] if told else []))
        assert MachineKey.objects.get().host_keys == [ED25519]
        assert alerts(install) == found


def test_no_more_than_some_are_read():
    said = host_keys.parse([ED25519] * host_keys.MOST_KEYS + [ECDSA])
    assert said == host_keys.Said((ED25519,), has_junk=True)


def test_a_failed_install_forgets_its_key_and_the_next_attempt_has_another(machine):
    install = pooled(machine)
    first = MachineKey.objects.get().public_key
    actions.cancel(install, by="tester")
    while flow.run_due():
        pass
    install.refresh_from_db()
    assert install.state == "cancelled" and not MachineKey.objects.get().is_kept
    assert keypair.public_key(install) == "" and MachineKey.objects.get().private_key == ""
    again = actions.retry(install, by="tester")
    assert again.is_for_pool and keypair.public_key(again) not in ("", first)


def test_the_next_install_on_a_machine_forgets_the_key_of_the_one_before(machine):
    install = pooled(machine)
    go(machine, host_keys=ED25519)
    assert keypair.public_key(install)
    actions.start_inspection(machine, by="tester")
    assert keypair.public_key(install), "who only looks writes nothing"
    Install.objects.exclude(pk=install.pk).update(state="cancelled")
    Machine.objects.update(handled_by="")
    actions.start_install(machine, install.image, by="tester")
    assert not keypair.public_key(install)


def test_the_first_call_tells_the_keys_of_the_ssh_server(tmp_path):
    (tmp_path / "ssh").mkdir()
    for name, key in (("ed25519", f"{ED25519} root@x"), ("rsa", RSA), ("ecdsa", ECDSA)):
        (tmp_path / f"ssh/ssh_host_{name}_key.pub").write_text(key + "\n")
    for said, expected in (("", None), ("commands=7", "7")):
        form = QueryDict(told(tmp_path, said).encode())
        assert host_keys.said_in(form) == host_keys.Said(tuple(sorted([ED25519, RSA, ECDSA])), has_junk=False)
        assert form.get("commands") == expected
    for path in (tmp_path / "ssh").iterdir():
        path.unlink()
    assert told(tmp_path, "commands=0") == "commands=0"


def told(folder, said: str) -> str:
    text = scripts.render("first_boot.sh").replace("/etc/", f"{folder}/")
    function = "tell_host_keys() {" + text.partition("tell_host_keys() {")[2].partition("\n}\n")[0] + "\n}\n"
    script = f"said='{said}'\n{function}tell_host_keys; printf %s \"$said\""
    return subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=60, check=True).stdout
