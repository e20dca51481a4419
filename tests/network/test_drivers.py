"""What is true of every network driver, and of the fake one."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
from django.utils import translation

from machines.network import DRIVERS, SwitchEndpoint, SwitchPort, driver_for, fake
from machines.network.base import LONGEST_SAID, NetworkDriver, NetworkError, NetworkRefused, plain

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _forget():
    fake.forget()
    yield
    fake.forget()


@pytest.mark.parametrize("slug", DRIVERS)
def test_its_words_are_translated(slug):
    driver = DRIVERS[slug]
    words = [driver.label, *(one.label for one in driver.settings), *(one.help for one in driver.settings if one.help)]
    with translation.override("ja"):
        same = [text for text in words if translation.gettext(text) == text]
    assert same in ([], ["Open vSwitch"])


@pytest.mark.parametrize("slug", DRIVERS)
def test_what_it_needs_is_asked_for_by_name(slug):
    needed = [one for one in DRIVERS[slug].settings if one.required and one.default in ("", None)]
    if not needed:
        driver_for(SwitchEndpoint("tor", slug))
        return
    with pytest.raises(NetworkRefused, match=f"the switch tor has no {needed[0].label}: enter it"):
        driver_for(SwitchEndpoint("tor", slug))


def test_there_is_no_such_driver():
    with pytest.raises(NetworkRefused, match="there is no network driver 'telnet', choose one of netmiko"):
        driver_for(SwitchEndpoint("tor", "telnet"))


def test_an_endpoint_shows_no_secret():
    endpoint = SwitchEndpoint("tor", "netmiko", {"password": "canary-of-a-switch"})
    assert "canary" not in repr(endpoint) + str(endpoint)


def test_the_registry_imports_nothing_heavy():
    """Who starts Dodai pays nothing for libraries that few switches need."""
    code = "import sys, machines.network; print(*{'netmiko', 'paramiko', 'zeep', 'lxml', 'django'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"\x1b[31mred\x1b[0m\r\nERROR forged", "[31mred [0m ERROR forged"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("a\u202egnp.exe\u2028b", "a gnp.exe b"),
        ("x" * 5000, "x" * (LONGEST_SAID - 1) + "…"),
        ("", ""),
    ],
)
def test_what_a_switch_said_is_one_short_printable_line(said, expected):
    assert plain(said) == expected


def port(name: str = "p1") -> SwitchPort:
    return SwitchPort("tor", name)


@pytest.fixture(params=["memory", "file"])
def driver(request, tmp_path) -> NetworkDriver:
    file = str(tmp_path / "switches.json") if request.param == "file" else ""
    return driver_for(SwitchEndpoint("tor", "fake", {"file": file}))


def tell(driver: NetworkDriver, name: str, *faults: str) -> None:
    with driver._world() as world:
        world["faults"][f"tor port {name}"] = list(faults)


def test_the_fake_one_sets_and_reads(driver):
    assert driver.read(port()) is None
    for _ in range(2):
        driver.attach(port(), 210)
        assert driver.read_all([port(), port("p2")]) == {"p1": 210, "p2": None}
    driver.detach(port())
    assert driver.read(port()) is None


@pytest.mark.parametrize(
    ("fault", "error", "after"),
    [
        ("fails", NetworkError, 1), ("refuses", NetworkRefused, 1), ("fails late", NetworkError, 210),
        ("lies", None, 1), ("is slow", None, 210),
    ],
)  # fmt: skip
def test_the_fake_one_fails_as_it_is_told(driver, fault, error, after):
    driver.attach(port(), 1)
    tell(driver, "p1", fault)
    if error:
        with pytest.raises(error):
            driver.attach(port(), 210)
    else:
        driver.attach(port(), 210)
    assert driver.read(port()) == after
    driver.attach(port(), 210)
    assert driver.read(port()) == 210, "once is over"


def test_the_fake_one_cannot_be_read_when_it_is_told(driver):
    tell(driver, "p1", "cannot be read")
    with pytest.raises(NetworkError, match="does not answer"):
        driver.read(port())
    assert driver.read(port()) is None


def test_a_file_is_shared_by_processes(tmp_path):
    """Each writes a port of its own, at once: none is lost."""
    endpoint = SwitchEndpoint("tor", "fake", {"file": str(tmp_path / "switches.json")})
    fork = multiprocessing.get_context("fork")
    children = [
        fork.Process(target=lambda n=n: driver_for(endpoint).attach(port(f"p{n}"), 200 + n)) for n in range(8)
    ]  # fmt: skip
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    found = driver_for(endpoint).read_all([port(f"p{n}") for n in range(8)])
    assert found == {f"p{n}": 200 + n for n in range(8)}
