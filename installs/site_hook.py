"""Asks the site whether a machine may be released: a program (DODAI_RELEASE_HOOK), a webhook (DODAI_RELEASE_URL), both.

They know what still runs there. Without a clear yes the machine stays with its owner.
"""

import json
import os
import selectors
import signal
import subprocess
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings

from dodaiweb import outbound
from installs.models import Install
from installs.notices.delivery import signature
from machines.child import Kind, call_in_child
from machines.network.base import plain

SECONDS = 30.0
MAY_TAKE = timedelta(seconds=2 * (SECONDS + 10))
READ_BYTES = 4096
REFUSED, NOT_ASKED = "the site refuses: ", "the site could not be asked: "


class HookFailed(Exception):
    """It gave no clear answer. The message is for the operator."""


def is_set() -> bool:
    return bool(settings.RELEASE_HOOK or settings.RELEASE_URL)


def why_not(install: Install) -> str:
    """ "" where the site agrees, else a sentence. Takes MAY_TAKE at most."""
    question = json.dumps(_question(install), ensure_ascii=False).encode()
    for is_wanted, ask in ((settings.RELEASE_HOOK, _run), (settings.RELEASE_URL, _post)):
        if is_wanted and (why := _asked(ask, question)):
            return why
    return ""


def _asked(ask: Any, question: bytes) -> str:
    kind = Kind("site's hook", SECONDS + 5, (HookFailed,), not_there="look at it")
    try:
        answer: str | None = call_in_child(lambda: ask(question), kind, whom="the hook")
    except HookFailed as exc:
        return NOT_ASKED + plain(exc)
    return "" if answer is None else REFUSED + (plain(answer) or "without a reason")


def _question(install: Install) -> dict[str, Any]:
    machine = install.machine
    cards = [{"mac": card.mac, "address": card.address} for card in machine.interfaces.all()]
    return {
        "version": 1, "type": "release", "machine": machine.name, "serial": machine.serial, "uuid": machine.uuid,
        "owner": machine.owner, "cluster": machine.cluster.name if machine.cluster else None,
        "image": machine.image_name, "cards": cards, "requested_by": install.requested_by,
    }  # fmt: skip


def _run(question: bytes) -> str | None:
    """None for yes, else why not. Raises HookFailed."""
    try:
        process = subprocess.Popen(
            settings.RELEASE_HOOK, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}, start_new_session=True,
        )  # fmt: skip
    except OSError as exc:
        raise HookFailed(f"the hook could not be started ({exc.strerror})") from exc
    try:
        said, status = _talk(process, question)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if status == 0:
        return None
    if status == 1:
        return next(iter(said.decode(errors="replace").splitlines()), "")
    raise HookFailed(f"the hook failed: it ended with {status}")


def _talk(process: "subprocess.Popen[bytes]", question: bytes) -> tuple[bytes, int]:
    """The first READ_BYTES that it said, and its status. A pipe takes the whole question at once."""
    assert process.stdin and process.stdout
    until, said = time.monotonic() + SECONDS, b""
    with suppress(BrokenPipeError):
        process.stdin.write(question)
        process.stdin.close()
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0 and ready.select(left):
            more = os.read(process.stdout.fileno(), 1 << 16)
            said = (said + more)[:READ_BYTES]
            if not more:
                break
    try:
        return said, process.wait(max(until - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        raise HookFailed(f"the hook failed: it did not end within {SECONDS:.0f} s") from None


def _post(question: bytes) -> str | None:
    """The same by HTTP: {"ok": true}, or {"ok": false, "why": "..."}."""
    try:
        with outbound.opened(
            "POST", settings.RELEASE_URL, private=True, headers=_headers(question), body=question, total_seconds=SECONDS
        ) as answer:
            status, said = answer.status, answer.read(READ_BYTES)
    except outbound.OutboundError as exc:
        raise HookFailed(f"the hook failed: {exc}") from None
    if status != 200:
        raise HookFailed(f"the hook failed: it answered {status}")
    return _read(said)


def _read(said: bytes) -> str | None:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("ok"), bool):
        raise HookFailed('the hook failed: its answer is not {"ok": true} or {"ok": false, "why": "..."}')
    return None if found["ok"] else str(found.get("why", ""))


def _headers(question: bytes) -> dict[str, str]:
    uid, timestamp = str(uuid.uuid4()), int(time.time())
    headers = {
        "Content-Type": "application/json; charset=utf-8", "User-Agent": "dodai-release/1", "webhook-id": uid,
        "webhook-timestamp": str(timestamp),
    }  # fmt: skip
    if settings.RELEASE_SECRET:
        signed = signature(settings.RELEASE_SECRET, uid=uid, timestamp=timestamp, body=question)
        headers["webhook-signature"] = signed
    return headers
