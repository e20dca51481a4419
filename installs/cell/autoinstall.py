"""Autoinstall of Ubuntu's installer: YAML by a schema, held to the granted disk, with Dodai's command at its end."""

import shlex
from typing import Any

import jsonschema
import yaml
from yaml.constructor import ConstructorError

from installs.cell.answers import DISK_WORDS, Answers
from installs.cell.autoinstall_schema import SCHEMA
from installs.cell.problems import Problem

MOST_PROBLEMS = 20
LATE = "sh /tmp/dodai late /target"


class _Loader(yaml.SafeLoader):
    """Safe, and without aliases: ten lines of them can stand for gigabytes. No key twice: the first would be lost."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise ConstructorError(None, None, "aliases (*name) are not read", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _value in node.value:
            if key.value in seen:
                raise ConstructorError(None, None, f"{key.value!r} stands there twice", key.start_mark)
            seen.add(key.value if isinstance(key.value, str) else id(key))
        return super().construct_mapping(node, deep=deep)


def prepare(text: str, _options: dict[str, Any]) -> Answers:
    try:
        read = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        return Answers(text, [Problem("yaml", line=mark.line + 1 if mark else 0, what=_plain(problem))])
    document = read.get("autoinstall", read) if isinstance(read, dict) else read
    problems = _by_schema(document)
    if problems:
        return Answers(text, problems)
    problems = [*_passwords(document), *_disks(document.get("storage"))]
    before = "".join(f"{_command(each)} || before_failed\n" for each in _commands(document, "early-commands"))
    document = {**document, "storage": _on_the_granted_disk(document.get("storage"))}
    document["late-commands"] = [*_commands(document, "late-commands"), LATE]
    document.pop("early-commands", None)
    return Answers(yaml.safe_dump(document, sort_keys=False), problems, before)  # it replaces /autoinstall.yaml


def _plain(problem: yaml.YAMLError) -> str:
    return str(getattr(problem, "problem", None) or problem)[:200]


def _by_schema(document: Any) -> list[Problem]:
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)
    return [
        Problem("schema", where="/".join(map(str, error.absolute_path)) or "autoinstall", what=error.message[:200])
        for _number, error in zip(range(MOST_PROBLEMS), found, strict=False)
    ]


def _passwords(document: dict[str, Any]) -> list[Problem]:
    """Those that stand there in clear. cloud-init has three ways of its own to set one."""
    found = []
    password = document.get("identity", {}).get("password")
    if password is not None and not password.startswith("$"):
        found.append(Problem("clear-password", instead="identity: password: $6$…"))
    data = document.get("user-data", {})
    users = [user for user in data.get("users") or [] if isinstance(user, dict)]
    chpasswd = data.get("chpasswd") or {}
    if "password" in data or any("plain_text_passwd" in user for user in users) or "list" in chpasswd:
        found.append(Problem("clear-password", instead="user-data: users: hashed_passwd: $6$…"))
    if any(user.get("type") != "hash" for user in chpasswd.get("users") or [] if isinstance(user, dict)):
        found.append(Problem("clear-password", instead="user-data: chpasswd: users: type: hash"))
    return found


def _disks(storage: dict[str, Any] | None) -> list[Problem]:
    if not storage:
        return []
    if "layout" in storage:
        match = storage["layout"].get("match")
        if match and match.get("path") not in DISK_WORDS:
            return [Problem("other-disk", what="storage: layout: match")]
    found = []
    for action in storage.get("config") or []:
        if action.get("type") != "disk":
            continue
        named = [action.get("path"), (action.get("match") or {}).get("path")]
        if not any(name in DISK_WORDS for name in named) or any(name and name not in DISK_WORDS for name in named):
            found.append(Problem("other-disk", what=f"storage: config: {action.get('id', 'disk')}"[:120]))
    return found


def _on_the_granted_disk(storage: dict[str, Any] | None) -> dict[str, Any]:
    """As given where it lists what to do; a layout goes to the granted disk and no other."""
    storage = dict(storage or {"layout": {"name": "direct"}})
    if "layout" in storage:
        storage["layout"] = {**storage["layout"], "match": {"path": DISK_WORDS[1]}}
    return storage


def _commands(document: dict[str, Any], name: str) -> list[Any]:
    return list(document.get(name) or [])


def _command(given: Any) -> str:
    return shlex.join(map(str, given)) if isinstance(given, list) else f"sh -c {shlex.quote(given)}"
