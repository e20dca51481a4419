"""Images that people install by hand, and images that fall back on others."""

from typing import Any

from django.utils.timezone import now

from installs import flow
from installs.models import Image, Install
from tests import installing

CHECKLIST = """1. Plug in the USB stick *kobe-7*.
2. Write **only** the disk that this page names.
3. Start it and log in.

| slot | card |
|---|---|
| 1 | 25G |
"""
METADATA = {"checklist": CHECKLIST, "answer_minutes": 30, "work_minutes": 120}
BY_HAND = {"method": "manual", "metadata": METADATA}


def make_image(name: str = "by-hand", **fields: Any) -> Image:
    return Image.objects.create(name=name, **{"method": "manual", "metadata": METADATA} | fields)


def with_fallbacks(*fallbacks: dict[str, Any], **fields: Any) -> Image:
    """A file tree with these to go on with; by hand unless others are named."""
    return installing.make_image(fallbacks=list(fallbacks or [BY_HAND]), **fields)


def work() -> None:
    flow.begin_next()
    Install.objects.live().filter(look_again_at__gt=now()).update(look_again_at=None)
    while flow.run_due():
        pass


def settle(install: Install) -> Install:
    """Until it has ended: what looks again after a second is not waited for."""
    for _ in range(10):
        work()
        install = Install.objects.get(pk=install.pk)
        if not install.is_live:
            return install
    raise AssertionError((install.state, install.awaited, install.error))
