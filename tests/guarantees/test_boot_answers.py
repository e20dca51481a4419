"""Who boots from the network when nothing of its install is left to do is sent to its own disk, whatever it asks."""

import random
import re
import threading
from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote, unquote_to_bytes

import pytest
from django.db import connection
from django.utils.timezone import now

from installs import actions, flow, grant, sweep
from installs.models import Boot, Event, Install
from machines import facts
from machines.lifecycle import State as MachineState
from machines.models import Interface, LocalBoot, MachineType
from tests import installing
from tests.guarantees.listener import Listener
from tests.guarantees.tally import is_long, is_time_left, rounds

ENDS = ("installed", "failed early", "failed after the grant", "cancelled", "inspected")
TURNS, FEWEST_TURNS = 100, 20  # of the machine's state and of how its type boots from disk
SECOND_CARD = "52:54:00:00:77:01"
# What a boot loader would load: iPXE and GRUB by their commands, PXELINUX by its keywords, in any writing.
LOADS = re.compile(
    r"^\s*(?:if\s+)?(kernel|initrd|linux\w*|imgfetch|module|chain\b(?!loader \+1)|append)\b",
    re.IGNORECASE | re.MULTILINE,
)
# Who has not said its MAC is asked for it: that script fetches the answer for this MAC, and nothing else.
ASKS_BACK = re.compile(
    r"^(?:imgfetch --name answer --timeout \d+ boot\.ipxe\?mac=\$\{netX/mac:hexhyp\}&|chain --replace answer |"
    r"imgfetch --name other --timeout \d+ never ).*$",
    re.MULTILINE,
)
PLATFORMS = ("pcbios", "efi", "", "EFI", "linux", "\0", "é", "${net0/mac}", "a" * 500)


@pytest.fixture(autouse=True)
def _listener(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF, settings.MIDDLEWARE, settings.ALLOWED_HOSTS = "dodaiweb.provision_urls", [], ["*"]
    monkeypatch.setattr("installs.ramdisk.latest", lambda name, data: installing.RAMDISK)


def work() -> None:
    flow.begin_next()
    while flow.run_due():
        Install.objects.live().filter(look_again_at__isnull=False).update(look_again_at=now())


def starts_an_install(answer: str) -> bool:
    """What the machine would do with it: load a kernel or a script of an install, with any token of one."""
    return bool(LOADS.search(ASKS_BACK.sub("", answer))) or "/script/" in answer


def end(how: str, machine) -> Install:
    """An attempt that has ended in this way, with its machine booted as often as it may."""
    install = actions.start_inspection(machine, by="tester") if how == "inspected" else installing.start(machine)
    work()
    server = installing.Server(machine)
    assert starts_an_install(server.ask_boot()), "while it goes on it must, or nothing here shows anything"
    assert server.boot()
    if how == "inspected":
        server.say("inspected", installing.facts_of(machine, server.boot_id))
    elif how == "cancelled":
        actions.cancel(install, by="tester")
    elif how == "failed early":
        server.say("failed", {"phase": "start", "message": "no disk"})
    else:
        server.say("install")
        granted = server.ask_grant()
        if how == "installed":
            server.say("install_reboot")
            work()
            server.finish_first_boot(granted)
        else:
            server.say("failed", {"phase": "copy", "message": "I/O error"})
    for _ in range(5):
        work()
        sweep.sweep()
    install.refresh_from_db()
    assert not install.is_live, (how, install.state)
    return install


def spellings(mac: str, chance: random.Random) -> str:
    digits = mac.replace(":", "")
    pairs = [digits[at : at + 2] for at in range(0, 12, 2)]
    dotted = ".".join(digits[at : at + 4] for at in range(0, 12, 4))
    text = chance.choice([
        mac, "-".join(pairs), digits, dotted, "01-" + "-".join(pairs), "01:" + mac, " ".join(pairs), f" {mac} ",
        f"{mac}\n", "20-" + "-".join(pairs), mac[:-1], mac + "0", mac.replace("0", "O"), "",
    ])  # fmt: skip
    return "".join(chance.choice((char.upper(), char.lower())) for char in text)


def requests(machine, chance: random.Random) -> Iterator[str]:
    """Paths in every form in which firmware and boot loaders ask, and some in which nobody should."""
    junk = ("", "\0", "%00", "../..", "é", "\udcff", "1" * 300, machine.serial, machine.uuid, machine.uuid.upper(), "0")
    own = str(machine.interfaces.get(is_pxe=True).mac)
    while True:
        mac = chance.choice([own] * 4 + [SECOND_CARD, "52:54:00:99:99:99", "ff:ff:ff:ff:ff:ff"])
        word = quote(spellings(mac, chance).encode(chance.choice(("utf-8", "utf-8", "utf-16-le"))))
        form = chance.randrange(6)
        if form < 3:
            asked = {
                "uuid": chance.choice(junk), "serial": chance.choice(junk), "platform": chance.choice(PLATFORMS),
                chance.choice(("mac2", "dodai_script", "install", "token", "state", "MAC")): chance.choice(junk),
            }  # fmt: skip
            query = [f"mac={word}"] + [
                f"{key}={quote(value, errors='surrogateescape')}" for key, value in asked.items()
            ]
            if chance.random() < 0.2:
                query.append(f"mac={quote(spellings(SECOND_CARD, chance))}")
            chance.shuffle(query)
            yield "/boot.ipxe?" + chance.choice(("&", "&", "&&")).join(query[: chance.randint(1, len(query))])
        elif form == 3:
            yield f"/grub/{word}"
        elif form == 4:
            yield f"/pxelinux.cfg/{chance.choice(('', '01-', '20-'))}{word}"
        else:
            yield chance.choice((
                "/boot.ipxe", "/grub.cfg", "/pxelinux.cfg/default", "/pxelinux.cfg/0A000001",
                f"/pxelinux.cfg/{machine.uuid}", f"/boot.ipxe?MAC={word}", f"/boot.ipxe/?mac={word}",
            ))  # fmt: skip


@pytest.mark.fills_the_time
@pytest.mark.django_db
@pytest.mark.parametrize("how", ENDS)
def test_after_the_end_every_boot_leads_to_the_own_disk(guarantee, how) -> None:
    seed = random.SystemRandom().randrange(1 << 32) if is_long() else 1
    chance = random.Random(seed)
    machine = installing.make_machine()
    Interface.objects.create(machine=machine, mac=SECOND_CARD, name="eth1")
    machine.type = MachineType.objects.create(name="odd")
    machine.save()
    install = end(how, machine)
    tally = guarantee(
        "T5", "After an attempt has ended, no boot request is answered by anything that writes", seed=seed
    )
    asking, listener, each = requests(machine, chance), Listener(), rounds(1200, 200_000) // TURNS
    for number in range(TURNS):
        if number > FEWEST_TURNS and not is_time_left():
            break
        MachineType.objects.update(local_boot=LocalBoot.values[number % len(LocalBoot.values)])
        machine.state = MachineState.values[number % len(MachineState.values)]
        machine.save(update_fields=["state"])
        for path in islice(asking, each):
            with tally.trial():
                status, text = ask(listener, path)
                assert status in (200, 404), (seed, path, status)
                assert not starts_an_install(without_the_question(text)), (seed, path, text)
                assert_leads_to_disk(path, text, status)
    install.refresh_from_db()
    assert install.boots.count() == Boot.objects.count()
    assert not install.is_live


def ask(listener: Listener, path: str) -> tuple[int, str]:
    """As the listener's server gives it to the application: the path without its escapes, the query with them."""
    path, _, query = path.partition("?")
    status, content = listener.ask("GET", unquote_to_bytes(path), query.encode())
    return status, content.decode()


def without_the_question(text: str) -> str:
    """The answer to who does not say who it is: it asks Dodai again, nobody else."""
    return re.sub(r"^chain --replace boot\.ipxe\?mac=\$\{netX/mac:hexhyp\}\S* \|\| goto again$", "", text, flags=re.M)


def assert_leads_to_disk(path: str, text: str, status: int) -> None:
    if status == 200:
        ends = ("exit", "sanboot", "chainloader +1", "LOCALBOOT")
        assert any(end in text for end in ends), (path, text)


def test_what_starts_an_install_is_recognised_in_every_loader() -> None:
    assert starts_an_install("#!ipxe\nkernel http://x/vmlinuz dodai_script=http://x/script/abc\n")
    assert starts_an_install("if linux (http,x)/vmlinuz a; then\n")
    assert starts_an_install("LABEL dodai\n  KERNEL http://x/vmlinuz\n")
    assert not starts_an_install("set root=(hd0)\nchainloader +1\nboot\n")


# The grant


@pytest.mark.fills_the_time
@pytest.mark.django_db(transaction=True)
def test_of_a_thousand_that_ask_at_once_only_one_boot_gets_the_grant(guarantee) -> None:
    tally = guarantee("T29", "An attempt gives one write grant, to one boot, however many ask at once")
    machine, askers = installing.make_machine(), rounds(200, 1000)
    for number in range(rounds(1, 10)):
        if number and not is_time_left():
            break
        install = installing.start(machine)
        work()
        servers = [installing.Server(machine) for _ in range(10)]
        assert all(server.boot() for server in servers)
        results = ask_at_once(install, machine, servers, askers)
        with tally.trial(askers):
            boots = {boot for boot, result in results if isinstance(result, grant.Granted)}
            assert len(results) == askers
            assert boots == {Install.objects.get(pk=install.pk).granted_boot_id}, boots
            assert all(isinstance(result, (grant.Granted, grant.Refused)) for _, result in results), results[:3]
            assert install.events.filter(kind=Event.Kind.MACHINE, name="granted").count() == 1
        actions.cancel(install, by="tester")
        work()


def ask_at_once(install: Install, machine, servers, askers: int, threads: int = 20) -> list[tuple[str, object]]:
    """Each thread has a connection of its own; every boot asks in all of them."""
    rows = {boot.boot_id: boot for boot in install.boots.all()}
    found = {server.boot_id: facts.parse(installing.facts_of(machine, server.boot_id)) for server in servers}
    results: list[tuple[str, object]] = []
    line = threading.Barrier(threads)

    def ask(mine: list[str]) -> None:
        line.wait(30)
        try:
            for boot_id in mine:
                try:
                    result: object = grant.ask(rows[boot_id], found[boot_id], found[boot_id].disks[0])
                except Exception as exc:  # noqa: BLE001 - the test looks at it
                    result = exc
                results.append((boot_id, result))
        finally:
            connection.close()

    boots = [servers[number % len(servers)].boot_id for number in range(askers)]
    running = [threading.Thread(target=ask, args=(boots[number::threads],)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(120)
    return results


@pytest.mark.django_db
def test_a_second_boot_never_gets_the_grant(guarantee) -> None:
    tally = guarantee("T29", "A second boot of the same machine is refused the grant that the first one has")
    machine = installing.make_machine()
    for _ in range(rounds(10, 300)):
        install = installing.start(machine)
        work()
        first, *others = [installing.Server(machine) for _ in range(4)]
        assert all(server.boot() for server in [first, *others])
        with tally.trial(len(others)):
            assert "DODAI_GRANTED=yes" in first.ask_grant()
            for other in others:
                assert "DODAI_GRANTED=no" in other.ask_grant()
                assert "DODAI_GRANTED=no" in other.ask_grant(boot_id=first.boot_id), "it cannot claim to be the first"
            assert "DODAI_GRANTED=yes" in first.ask_grant(), "its answer may have got lost"
            assert Install.objects.get(pk=install.pk).granted_boot_id == first.boot_id
        actions.cancel(install, by="tester")
        work()
