"""Renders what machines run: boot scripts and shell scripts. Never HTML."""

import re
import shlex
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TOKEN_PLACEHOLDER = "@INSTALLER-TOKEN@"  # noqa: S105 - what stands for a token is none
SAFE_FOR_BOOT_LOADERS = re.compile(r"^[A-Za-z0-9_.,:=/+@%;\[\]\-]*$")


def render(template: str, **values: Any) -> str:
    """The text of templates/scripts/`template`. A missing value raises jinja2.UndefinedError."""
    return _environment().get_template(template).render(values)


def render_text(text: str, **values: Any) -> str:
    """The same for a template that lies elsewhere; it may include those of templates/scripts."""
    return _environment().from_string(text).render(values)


@cache
def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(settings.BASE_DIR / "templates" / "scripts"),
        undefined=StrictUndefined,  # a missing value must stop an install, not empty a disk
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - no HTML here; values go through the filters below
    )
    env.filters["sh"] = lambda value: shlex.quote(str(value))
    env.filters["arg"] = _loader_word
    env.filters["grub_path"] = _grub_path
    env.filters["grub_arg"] = _grub_word
    return env


def _grub_path(url: str) -> str:
    """An http URL as GRUB names it: (http,host:port)/path."""
    parts = urlsplit(url)
    return f"(http,{_loader_word(parts.netloc)}){_loader_word(parts.path)}"


def _grub_word(value: object) -> str:
    """GRUB's own language ends a command at a semicolon; cloud-init's argument ds= has one."""
    word = _loader_word(value)
    return f"'{word}'" if ";" in word else word


def _loader_word(value: object) -> str:
    """One word of an iPXE, PXELINUX or GRUB line; these languages have no quoting that all of them share."""
    text = str(value)
    if not SAFE_FOR_BOOT_LOADERS.match(text):
        raise ValueError(f"{text!r} cannot stand in a boot loader's line: use letters, digits, . , : ; = / + - _ only")
    return text
