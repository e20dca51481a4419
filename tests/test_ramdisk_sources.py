"""Which Debian sources the ramdisk's packages come from."""

from pathlib import Path

import pytest

from installs.ramdisk import RamdiskError
from installs.ramdisk.sources import Source, codename, debian_sources, one_line, with_backports, with_firmware

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://download.docker.com/linux/debian
Suites: bookworm
Components: stable
"""
INLINE_KEY = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abcd
 -----END PGP PUBLIC KEY BLOCK-----
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_only_debians_own_main_is_taken(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(DEB822)
    (etc / "sources.list.d/pgdg.list").write_text("deb https://other.example/apt bookworm-pgdg main\n")
    found = debian_sources("bookworm", etc=etc)
    assert [(source.uri, source.suite, source.components) for source in found] == [
        ("http://mirror.example/debian", "bookworm", ("main",)),
        ("http://mirror.example/debian", "bookworm-updates", ("main",)),
    ]


def test_the_one_line_format_keeps_its_key(etc: Path, tmp_path: Path) -> None:
    lines = "deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main  # ours\n#deb x y z\n"
    (etc / "sources.list").write_text(lines)
    (source,) = debian_sources("bookworm", etc=etc)
    assert one_line(source, tmp_path) == "deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main\n"


def test_an_armored_key_becomes_a_file(etc: Path, tmp_path: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(INLINE_KEY)
    (source,) = debian_sources("bookworm", etc=etc)
    key = f"signed-by={tmp_path}/bookworm.asc"
    assert one_line(source, tmp_path) == f"deb [arch=amd64 {key}] http://mirror.example/debian bookworm main\n"
    assert (tmp_path / "bookworm.asc").read_text().startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabcd\n")


def test_a_disabled_entry_is_none(etc: Path) -> None:
    (etc / "sources.list.d/debian.sources").write_text(DEB822.replace("Types: deb deb-src", "Enabled: no\nTypes: deb"))
    with pytest.raises(RamdiskError, match="names no Debian source"):
        debian_sources("bookworm", etc=etc)


def test_without_a_debian_source_the_missing_line_is_told(etc: Path) -> None:
    with pytest.raises(RamdiskError, match=r"deb http://mirror\.example/debian bookworm main"):
        debian_sources("bookworm", etc=etc)


def test_firmware_and_backports_come_from_the_same_mirror() -> None:
    sources = [Source("http://m/debian", "bookworm", ("main",)), Source("http://s", "bookworm-security", ("main",))]
    assert all(source.components == ("main", "non-free-firmware") for source in with_firmware(sources))
    assert with_backports(sources, "bookworm")[-1] == Source("http://m/debian", "bookworm-backports", ("main",))


def test_a_computer_that_is_no_debian_has_no_codename(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=arch\n")
    assert codename(tmp_path / "os-release") == ""
    assert codename(tmp_path / "missing") == ""
