"""Debian packages that the tests need besides those of the lab."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dodaiweb import debian
from dodaiweb.testing import postgres
from lab import needs as lab_needs

_NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/dodai-tests.conf")
_SERVERS = {"openssh-server", "openvswitch-switch"}
_NO_SERVICES = Path("/usr/sbin/policy-rc.d")  # asked by Debian's packages before they start a service


def missing() -> list[str]:
    """The packages that are missing."""
    present = {
        "chromium": shutil.which("chromium"),
        "ipmitool": shutil.which("ipmitool"),
        "openssh-client": shutil.which("ssh") and shutil.which("ssh-keygen"),
        "openssh-server": lab_needs.program("sshd"),
        "openvswitch-switch": lab_needs.program("ovs-vswitchd"),
        "postgresql": postgres.programs(),
        "shellcheck": shutil.which("shellcheck"),
        "zstd": shutil.which("zstd"),
    }
    return [package for package, found in present.items() if not found] + lab_needs.missing()


def install_missing() -> bool:
    """Get what is missing where we may; False if something still is (the apt line has been printed)."""
    packages = missing()
    if not packages:
        return True
    has_services = not _SERVERS.isdisjoint(packages)
    with _without_a_server("postgresql" in packages), _without_services(has_services):
        return debian.install(packages, "Testing") and not missing()


@contextmanager
def _without_a_server(wanted: bool) -> Iterator[None]:
    """Keep Debian's postgresql package from making and starting a server nobody asked for."""
    if not wanted or not _may_write(_NO_CLUSTER):
        yield
        return
    _NO_CLUSTER.write_text("create_main_cluster = false\n")
    try:
        yield
    finally:
        _NO_CLUSTER.unlink(missing_ok=True)


@contextmanager
def _without_services(wanted: bool) -> Iterator[None]:
    """Keep Debian's servers from starting on this computer: the tests start their own, in namespaces."""
    if not wanted or _NO_SERVICES.exists() or not _may_write(_NO_SERVICES):
        yield
        return
    _NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
    _NO_SERVICES.chmod(0o755)
    try:
        yield
    finally:
        _NO_SERVICES.unlink(missing_ok=True)


def _may_write(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return False
    return True
