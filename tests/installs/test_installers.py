"""kickstart, preseed and autoinstall: from the firmware to the first boot, and who gets answers and who does not."""

import pytest

from installs import actions
from installs.lifecycle import State
from installs.models import Event, SshKey
from tests import installer_answers
from tests.installer_answers import HASH, Installing, shell_value

KINDS = ("preseed", "kickstart", "autoinstall")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJustForTests0000000000000000000000000 key"


@pytest.fixture
def server(machine) -> Installing:
    SshKey.objects.create(name="key", public_key=KEY)
    return Installing(machine)


def started(machine, kind: str, steps, **settings):
    install = actions.start_install(machine, installer_answers.make_image(kind, **settings), by="tester")
    steps()
    install.refresh_from_db()
    return install


@pytest.mark.parametrize("kind", KINDS)
def test_an_installer_goes_from_the_firmware_to_the_first_boot(machine, server, steps, kind) -> None:
    install = started(machine, kind, steps)
    answer = server.boot_installer(kind)
    assert "kernel --timeout 30000 http://mirror.example.org/linux initrd=initrd" in answer and " quiet " in answer
    assert server.say("install") == "applied"
    given = shell_value(server.ask_answers(), "DODAI_ANSWERS")
    assert HASH in given and "node1" in given and "/tmp/dodai late" in given
    granted = server.ask_grant()
    assert "DODAI_GRANTED=yes" in granted
    assert server.say("install_reboot") == "applied"
    steps()
    assert "dodai late" not in server.ask_boot() and "kernel http" not in server.ask_boot()
    assert server.finish_first_boot(granted) == "applied"
    steps()
    install.refresh_from_db()
    assert install.state == State.INSTALLED


@pytest.mark.parametrize("kind", KINDS)
def test_what_anybody_may_fetch_holds_no_secret(machine, server, steps, kind) -> None:
    started(machine, kind, steps)
    answer = server.boot_installer(kind)
    assert HASH not in answer + server.first + server.script
    assert KEY not in answer + server.first


@pytest.mark.parametrize("kind", KINDS)
def test_another_machine_gets_no_answers(machine, server, steps, kind) -> None:
    install = started(machine, kind, steps)
    server.boot_installer(kind)
    said = server.ask_answers(serial="ANOTHER")
    assert HASH not in said and "DODAI_GRANTED=no" in said and "DODAI_GIVEN" not in said
    install.refresh_from_db()
    assert (install.state, install.cause) == (State.STOPPING, "identity")


def test_no_answers_after_the_end(machine, server, steps) -> None:
    install = started(machine, "preseed", steps)
    server.boot_installer("preseed")
    actions.cancel(install, by="tester")
    server.ask_answers(status=410)


def test_a_second_boot_gets_no_answers_after_the_grant(machine, server, steps) -> None:
    started(machine, "preseed", steps)
    server.boot_installer("preseed")
    server.ask_grant()
    other = Installing(machine)
    assert "url=" in other.ask_boot()
    other.boot_installer("preseed")
    assert HASH not in other.ask_answers()


def test_the_callback_is_behind_what_the_user_wrote(machine, server, steps) -> None:
    started(machine, "preseed", steps)
    server.boot_installer("preseed")
    given = shell_value(server.ask_answers(), "DODAI_ANSWERS")
    late = [line for line in given.splitlines() if "preseed/late_command" in line]
    assert late == ["d-i preseed/late_command string { echo node1 > /target/etc/motd ; } && sh /tmp/dodai late /target"]
    early = [line for line in given.splitlines() if "partman/early_command" in line]
    assert early == ["d-i partman/early_command string sh /tmp/dodai grant && { echo theirs ; }"]


def test_bad_answers_stop_the_install_before_the_machine_is_touched(machine, steps) -> None:
    install = started(machine, "preseed", steps, answers="d-i passwd/root-password password clear\n")
    assert (install.cause, install.failed_step) == ("answers", "answers")
    assert "in clear" in install.error
    assert not install.events.filter(kind=Event.Kind.STEP, name="power_off").exists()


def test_a_secret_never_stands_in_the_reason_of_a_failure(machine, steps) -> None:
    text = "d-i {{ secrets.root_hash }} nonsense x\n"
    install = started(machine, "preseed", steps, answers=text)
    assert install.cause == "answers" and "canaryhash" not in install.error


def test_answers_are_frozen_for_the_attempt(machine, server, steps) -> None:
    install = started(machine, "preseed", steps)
    assert install.answers_sealed.startswith("v2.") and "canaryhash" not in install.answers_sealed


def test_an_image_without_answers_is_a_problem_of_the_plan(machine) -> None:
    from installs import plan

    image = installer_answers.make_image("preseed", answers="")
    assert any("no answer file" in problem for problem in plan.for_install(machine, image).problems)


def test_a_missing_secret_is_a_problem_of_the_plan(machine) -> None:
    from installs import plan

    image = installer_answers.make_image("preseed", answers="d-i a/b string {{ secrets.other }}\n")
    assert any("other" in problem for problem in plan.for_install(machine, image).problems)
