"""A real browser against the pages as they are served: Chromium, driven by Playwright."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.chromium import launched, need_chromium
from tests.serving import served

# Playwright's synchronous calls run an event loop in this thread, which Django would take for an async view.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

expect.set_options(timeout=25_000)  # a busy computer; less than the 30 s after which live pages ask by themselves
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
MODES = {
    "light": {"color_scheme": "light", "viewport": {"width": 1440, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1440, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
    "dark phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    need_chromium()
    with launched() as browser:
        yield browser


@pytest.fixture
def site(transactional_db) -> Iterator[str]:
    """The address of the pages, with the three groups in the database."""
    from machines.power import fake
    from tests import scenes

    fake.forget()
    scenes.restore_groups()
    with scenes.named_ramdisk():
        from dodaiweb.asgi import application

        with served(application) as port:
            yield f"http://127.0.0.1:{port}"
    fake.forget()


@pytest.fixture
def opened(browser, site) -> Iterator[Callable[..., Page]]:
    """Call it for a page of somebody who has logged in; whatever its console complains of fails the test."""
    from tests import scenes

    contexts, complaints = [], []

    def watched(page: Page) -> Page:
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text) if _is_bad(message) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    def open_page(
        path: str = "/", *, group: str | None = "operator", mode: str = "light", same_as: Page | None = None
    ) -> Page:
        if same_as:
            page = watched(same_as.context.new_page())
        else:
            context = browser.new_context(base_url=site, reduced_motion="reduce", **MODES[mode])
            contexts.append(context)
            page = watched(context.new_page())
            if group:
                user = scenes.make_user(group, name=f"{group}-{len(contexts)}", is_staff=group == "admin")
                context.add_cookies([{"name": "dodai_session", "value": scenes.session_of(user), "url": site}])
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def _is_bad(message: ConsoleMessage) -> bool:
    """A form that was refused (409, 422, 429) is an answer like any other; so is 404 for a page's update when what it
    shows has just been deleted. A missing file is not."""
    is_page = message.location["url"].partition("?")[0].endswith("/")
    answers = "404|409|422|429" if is_page else "409|422|429"
    return message.type == "error" and not re.search(rf"a status of ({answers})", message.text)


@pytest.fixture
def axe() -> Callable[[Page], list[str]]:
    """Call it for what axe-core finds wrong with a page; WCAG 2.0, 2.1 and 2.2 A and AA, and best practice."""
    script = AXE.read_text()

    def violations(page: Page) -> list[str]:
        page.evaluate(script)  # not a script element: the pages allow no foreign ones
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [f"{v['id']}: {v['help']}: {'; '.join(n['html'][:160] for n in v['nodes'][:3])}" for v in found]

    return violations
