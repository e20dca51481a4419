"""The language of debconf-set-selections(1), and what Dodai adds to it: the grant, the callback, the granted disk."""

import re
from dataclasses import dataclass
from typing import Any

from installs.cell.answers import DISK_WORDS, Answers, names_a_kernel_disk
from installs.cell.problems import Problem

TYPES = "string boolean select multiselect note text password error title entropy seen".split()
COMES_FROM_ELSEWHERE = ("preseed/include", "preseed/include_command", "preseed/run", "preseed/url", "preseed/file")
CLEAR_PASSWORDS = re.compile(r"^(passwd/(root|user)-|network-console/|grub-installer/)password(-again)?$")
HASHED_PASSWORDS = re.compile(r"^(passwd/(root|user)-password-crypted|grub-installer/password-crypted)$")
HASH = re.compile(r"^(\$[0-9a-z]+\$\S+|grub\.pbkdf2\.\S+|[!*]+)$")
OF_A_DISK = {"partman-auto/disk", "grub-installer/bootdev"}
EARLY, PARTITIONING, LATE = "preseed/early_command", "partman/early_command", "preseed/late_command"
QUESTION = re.compile(r"^[A-Za-z0-9][A-Za-z0-9+.:_/-]*$")


@dataclass(frozen=True)
class Line:
    number: int
    owner: str
    question: str
    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.owner} {self.question} {self.kind} {self.value}".rstrip()


def prepare(text: str, _options: dict[str, Any]) -> Answers:
    """What the machine gets for this text, and what is wrong with it."""
    lines, problems = parse(text)
    for line in lines:
        problems += _problems_of(line)
    kept = [line for line in lines if line.question not in (EARLY, PARTITIONING, LATE, *OF_A_DISK)]
    theirs = {line.question: line.value for line in lines}
    return Answers(
        text="".join(f"{line}\n" for line in kept) + _ours(theirs),
        problems=problems,
    )


def parse(text: str) -> tuple[list[Line], list[Problem]]:
    """Lines joined at their backslashes; comments and empty ones left out."""
    lines: list[Line] = []
    problems = []
    for number, joined in _joined(text):
        words = joined.split(None, 3)
        if len(words) < 3:
            problems.append(Problem("preseed-short", line=number))
        elif not QUESTION.match(words[1]):
            problems.append(Problem("preseed-question", line=number, what=words[1][:60]))
        elif words[2] not in TYPES:
            problems.append(Problem("preseed-type", line=number, what=words[2][:60]))
        else:
            lines.append(Line(number, words[0], words[1], words[2], words[3].strip() if len(words) > 3 else ""))
    return lines, problems


def _joined(text: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    begun, number = "", 0
    for at, raw in enumerate(text.splitlines(), start=1):
        if not begun:
            number = at
            if not raw.strip() or raw.lstrip().startswith("#"):
                continue
        if raw.endswith("\\"):
            begun += raw[:-1]
            continue
        found.append((number, begun + raw))
        begun = ""
    return found + ([(number, begun)] if begun.strip() else [])


def _problems_of(line: Line) -> list[Problem]:
    at, question, value = line.number, line.question, line.value
    if line.kind == "boolean" and value not in ("true", "false"):
        return [Problem("preseed-boolean", line=at, question=question)]
    if question.removesuffix("/checksum") in COMES_FROM_ELSEWHERE:
        return [Problem("answers-elsewhere", line=at, what=question)]
    if CLEAR_PASSWORDS.match(question) and value:
        return [Problem("clear-password", line=at, instead=f"{question.removesuffix('-again')}-crypted password $6$…")]
    if HASHED_PASSWORDS.match(question) and not HASH.match(value):
        return [Problem("no-hash", line=at, what=question)]
    if question in OF_A_DISK and value not in ("", "default", DISK_WORDS[0], DISK_WORDS[1]):
        return [Problem("other-disk", line=at, what=question)]
    if question.startswith("partman") and names_a_kernel_disk(value):
        return [Problem("other-disk", line=at, what=question)]
    return []


def _ours(theirs: dict[str, str]) -> str:
    """Last, as the last line for a question wins. What a user gave for these questions goes on beside ours."""
    commands = {
        EARLY: theirs.get(EARLY) or "true",
        PARTITIONING: f"sh /tmp/dodai grant{_then(theirs.get(PARTITIONING))}",
        LATE: f"{_first(theirs.get(LATE))}sh /tmp/dodai late /target",
    }
    disks = "".join(f"d-i {question} string {DISK_WORDS[1]}\n" for question in sorted(OF_A_DISK))
    return disks + "".join(f"d-i {question} string {command}\n" for question, command in commands.items())


def _then(theirs: str | None) -> str:
    return f" && {{ {theirs} ; }}" if theirs else ""


def _first(theirs: str | None) -> str:
    return f"{{ {theirs} ; }} && " if theirs else ""
