"""One `up` for the whole run. Everything slow happens once, and side by side where it can."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end import images
from tests.end_to_end.dodai import PREPARED_SECONDS, Dodai, Following, make_key

MACHINES = ("practice-1", "practice-2", "practice-3")


@dataclass(frozen=True)
class FirstStart:
    dodai: Dodai
    url: str
    user: str | None
    password: str | None


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstStart]:
    """`up` on an empty data folder, with its practice servers prepared."""
    dodai = Dodai(tmp_path_factory.mktemp("end-to-end") / "data")
    try:
        ready = dodai.start()
        prepared = dodai.wait_for(r"(\d of )?3 practice servers are ready[.:]", seconds=PREPARED_SECONDS)
        assert prepared[0] == "3 practice servers are ready.", dodai.output.read_text()
        yield FirstStart(dodai, ready["url"], ready["user"], ready["password"])
    finally:
        if dodai.process:
            dodai.stop()
    assert dodai.leaks() == []


@pytest.fixture(scope="session")
def dodai(first_start: FirstStart) -> Dodai:
    first_start.dodai.give_key()
    return first_start.dodai


@pytest.fixture(scope="session")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SSH key that Dodai does not know."""
    return make_key(tmp_path_factory.mktemp("keys") / "other")


@pytest.fixture(scope="session")
def ext4_image(dodai: Dodai) -> str:
    """The system of `tiny` as an ext4 file system."""
    path = dodai.data.with_name("tiny.ext4")
    images.make_ext4(images.tiny(dodai.data), path)
    dodai.must("image", "add", str(path), "--name", "tiny-ext4")
    return "tiny-ext4"


@pytest.fixture(scope="session")
def installs(dodai: Dodai, ext4_image: str) -> dict[str, Following]:
    """All three machines being installed at the same time, one of them from an ext4 image."""
    chosen = dict.fromkeys(MACHINES, "tiny") | {"practice-2": ext4_image}
    return {name: dodai.install(name, image) for name, image in chosen.items()}


@pytest.fixture(scope="session")
def killed_workers(dodai: Dodai, installs: dict[str, Following]) -> list[int]:
    """The workers that were killed while they did the first steps of these installs."""
    installs[MACHINES[0]].wait_for("step", "power_off")
    killed = dodai.workers
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    return killed


@pytest.fixture(scope="session")
def installed(installs: dict[str, Following], killed_workers: list[int]) -> dict[str, Following]:
    """The same installs, ended. That their workers were killed has to make no difference."""
    for install in installs.values():
        install.wait()
    return installs
