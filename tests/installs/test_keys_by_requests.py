"""Who gets into a machine is said in the inventory and goes there over SSH: no request adds a key, whoever sends it.

dodai's agent took keys by an unauthenticated PUT to port 4567 of the machine: anybody could become its root.
"""

import json

import pytest

from dodaiweb import provision_urls
from installs import actions, flow
from installs.handover import doors
from installs.models import Install, MachineKey, SshKey
from installs.settings_document import document
from tests import installing, ssh_machine

OWNERS, STRANGERS, HOSTS = (ssh_machine.key_pair()[1] for _ in range(3))
NAMES = ("authorized_keys", "key", "keys", "public_key", "ssh_key", "host_keys", "accounts")
METHODS = ("get", "post", "put", "patch", "delete")


def words_of(route: str, tokens: list[str]) -> list[str]:
    """Addresses of this route, with all tokens that the machine was given."""
    known = {"<str:nonce>": ["x"], "<str:name>": ["01-52-54-00-00-00-01"], "<str:mac>": ["52:54:00:00:00:01"],
             "<str:token>": tokens, "(?P<token>[^/]+)": tokens}  # fmt: skip
    found = [route.strip("^$")]
    for hole, values in known.items():
        found = [each.replace(hole, value) for each in found for value in (values if hole in each else [""])]
    names = ("install", "progress", "log", "authorized_keys") if route.startswith("^event") else NAMES
    return [
        each.partition("(?P<name>")[0] + name for each in found for name in (names if "(?P<name>" in each else [""])
    ]


@pytest.mark.parametrize("for_pool", [False, True])
def test_no_request_to_dodai_adds_a_key(machine, server, for_pool):
    SshKey.objects.create(name="owner", public_key=OWNERS)
    install = actions.start_install(machine, installing.make_image(), by="tester", for_pool=for_pool)
    flow.begin_next()
    while flow.run_due():
        pass
    assert server.boot()
    granted = server.ask_grant()
    first_boot = granted.partition("DODAI_FIRST_BOOT_URL=")[2].split()[0].strip("'").rpartition("/")[2]
    before = _keys(install)
    asked = 0
    for route in provision_urls.urlpatterns:
        for path in words_of(str(route.pattern), [server.token, first_boot]):
            for method in METHODS:
                for body, kind in _bodies(method):
                    call = getattr(server.client, method)
                    call(f"/{path}", body, kind, headers=server._headers()) if kind else call(f"/{path}", body)
                    asked += 1
    assert asked > 100
    assert _keys(install) == before


def _keys(install: Install) -> tuple[object, ...]:
    install = Install.objects.get(pk=install.pk)
    told = document(install, "t" * 43)
    own = list(MachineKey.objects.values_list("public_key", "private_sealed"))
    return told["authorized_keys"], told["accounts"], list(SshKey.objects.values_list("name", "public_key")), own


def _bodies(method: str) -> list[tuple[object, str]]:
    fields = dict.fromkeys(NAMES, STRANGERS)
    if method == "get":
        return [(fields, "")]
    return [(json.dumps(fields), "application/json"), (STRANGERS, "text/plain")]


def test_nothing_of_dodai_listens_on_an_installed_machine(machine, server):
    """What it is told names one address of Dodai that it calls, and no port that it opens."""
    installing.start(machine)
    flow.begin_next()
    while flow.run_due():
        pass
    server.boot()
    granted = server.ask_grant()
    assert "4567" not in granted
    script = Install.objects.get().script.text
    assert not any(word in script for word in ("4567", "nc -l", "httpd", "socat"))


@pytest.mark.skipif(not ssh_machine.can_run(), reason="an OS of its own needs root and openssh-server")
def test_whoever_answers_in_the_machines_place_is_given_no_key(machine, tmp_path, monkeypatch):
    """Not even the public ones: it shows another host key than the one that the OS told, so nothing is said to it."""
    SshKey.objects.create(name="owner", public_key=OWNERS)
    pool = actions.start_install(machine, installing.make_image(), by="tester", for_pool=True)
    MachineKey.objects.update(host_keys=[HOSTS])
    Install.objects.filter(pk=pool.pk).update(state="installed")
    type(machine).objects.filter(pk=machine.pk).update(state="warm", handled_by="")
    with ssh_machine.running(tmp_path) as stranger:
        stranger.let_in(MachineKey.objects.get().public_key)
        monkeypatch.setattr(doors, "of", lambda install: [("127.0.0.1", stranger.port)])
        made = actions.start_operation(machine, "hand-over", {"install": pool.pk}, by="tester")
        flow.begin_next()
        while flow.run_due():
            pass
        assert "Accepted" not in stranger.text("log") and OWNERS not in stranger.text("/root/.ssh/authorized_keys")
    made.refresh_from_db()
    machine.refresh_from_db()
    assert (made.cause, machine.state) == ("wrong-host", "broken")
