"""Kickstart: read by pykickstart as its release reads it, held to the granted disk, with Dodai's %post at its end."""

import warnings
from typing import Any

from pykickstart.base import KickstartHandler
from pykickstart.constants import KS_SCRIPT_PRE
from pykickstart.errors import KickstartError, KickstartParseError
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from installs.cell.answers import DISK_WORDS, Answers
from installs.cell.before import script_before
from installs.cell.problems import Problem

BEGINS_A_SECTION = (
    "%pre",
    "%pre-install",
    "%post",
    "%onerror",
    "%traceback",
    "%packages",
    "%addon",
    "%anaconda",
    "%certificate",
)
MARK = "# Dodai holds the installer to the granted disk and is told of the end.\n"
OUR_POST = """
%post --nochroot --interpreter=/bin/sh
sh /tmp/dodai late "${ANA_INSTALL_PATH:-/mnt/sysroot}"
%end
"""


def load(version: str) -> KickstartHandler:
    """What knows the commands of one release; imports them, so call it before the process is closed in."""
    return makeVersion(version)


def prepare(text: str, options: dict[str, Any], handler: KickstartHandler) -> Answers:
    """`options`: has_source, whether the kernel's command line already says where the packages are."""
    parser = KickstartParser(handler, followIncludes=False, missingIncludeIsFatal=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.readKickstartFromString(text)
    except KickstartParseError as problem:
        return Answers(text, [Problem("kickstart", line=problem.lineno or 0, what=_plain(problem))])
    except (KickstartError, ValueError, TypeError, AttributeError, IndexError, KeyError) as problem:
        return Answers(text, [Problem("kickstart", what=_plain(problem))])
    problems = [*_disks(handler, text), *_passwords(handler), *_includes(text), *_source(handler, options)]
    ours = f"{MARK}ignoredisk --only-use={DISK_WORDS[0]}\n"
    return Answers(ours + _without_ignoredisk(_without_pre(text)) + OUR_POST, problems, before=_before_grant(handler))


def _plain(problem: Exception) -> str:
    return " ".join(str(getattr(problem, "message", "") or problem).split())[:300]


def _disks(handler: KickstartHandler, text: str) -> list[Problem]:
    """Commands that name a disk must name the granted one."""
    named: list[tuple[str, object]] = [("bootloader", [handler.bootloader.bootDrive, *handler.bootloader.driveorder])]
    named += [("clearpart", handler.clearpart.drives), ("ignoredisk", handler.ignoredisk.onlyuse)]
    named += [("ignoredisk --drives", handler.ignoredisk.ignoredisk)]
    named += [("part", [part.disk]) for part in handler.partition.partitions]
    found = []
    for command, disks in named:
        for disk in disks if isinstance(disks, list) else [disks]:
            if disk and str(disk).removeprefix("disk/by-id/") not in DISK_WORDS:
                found.append(
                    Problem("other-disk", line=_line_of(text, command.split()[0]), what=f"{command}: {disk}"[:120])
                )
    return found


def _passwords(handler: KickstartHandler) -> list[Problem]:
    found = []
    if handler.rootpw.password and not (handler.rootpw.isCrypted and handler.rootpw.password.startswith("$")):
        found.append(Problem("clear-password", line=handler.rootpw.lineno, instead="rootpw --iscrypted $6$…"))
    for user in handler.user.userList:
        if user.password and not (user.isCrypted and user.password.startswith("$")):
            found.append(Problem("clear-password", line=user.lineno, instead="user … --iscrypted --password=$6$…"))
    return found


def _includes(text: str) -> list[Problem]:
    return [
        Problem("answers-elsewhere", line=number, what=line.split()[0])
        for number, line in enumerate(text.splitlines(), start=1)
        if line.split()[:1] in (["%include"], ["%ksappend"])
    ]


def _source(handler: KickstartHandler, options: dict[str, Any]) -> list[Problem]:
    if (
        options.get("has_source")
        or handler.method.method
        or (getattr(handler, "ostreesetup", None) and handler.ostreesetup.url)
    ):
        return []
    return [Problem("kickstart-source")]


def _line_of(text: str, command: str) -> int:
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if line.split()[:1] == [command]), 0)


def _without_pre(text: str) -> str:
    """Without its %pre sections: Anaconda has run those of the first file by the time that it reads this one."""
    kept, inside = [], ""
    for line in text.splitlines(keepends=True):
        first = (line.split() or [""])[0]
        if not inside and first in BEGINS_A_SECTION:
            inside = first
        if inside != "%pre":
            kept.append(line)
        if first == "%end":
            inside = ""
    return "".join(kept)


def _without_ignoredisk(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line.split()[:1] != ["ignoredisk"])


def _before_grant(handler: KickstartHandler) -> str:
    pieces = [
        script_before(number, script.interp, script.script, must_succeed=bool(script.errorOnFail))
        for number, script in enumerate(handler.scripts)
        if script.type == KS_SCRIPT_PRE
    ]
    return "".join(pieces)
