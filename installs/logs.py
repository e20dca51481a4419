"""Text that machines sent, made fit for a page: no control characters, no secrets, only the end of it."""

import re

from dodaiweb.masking import masked
from installs.models import Install

LINES_SHOWN = 400
CHUNKS_READ = 400
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-~])")
MOVES_TO_A_ROW = re.compile(r"\x1b\[[0-9;]*[Hfd]")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)")


def plain(text: str) -> str:
    """The text as a person would have read it on a terminal, with tokens masked."""
    text = text.replace("\r\r\n", "\n").replace("\r\n", "\n")
    text = MOVES_TO_A_ROW.sub("\n", text)
    text = CONTROL.sub("", OVERWRITTEN.sub("", ESCAPE.sub("", text)))
    return masked(text)


def last_lines(text: str, count: int = LINES_SHOWN) -> list[str]:
    """The last lines of cleaned text, without the empty ones that screens are full of."""
    return [line.rstrip() for line in plain(text).split("\n") if line.strip()][-count:]


def install_log(install: Install) -> list[str]:
    """The end of what the installer wrote."""
    newest = list(install.log.order_by("-pk").values_list("text", flat=True)[:CHUNKS_READ])
    return last_lines("\n".join(text.rstrip("\n") for text in reversed(newest)))
