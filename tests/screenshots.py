"""Makes the pictures of README.md and docs/ from a running `up` whose practice servers are ready.

    DODAI_PASSWORD=... python tests/screenshots.py http://127.0.0.1:8000

It installs an image on practice-1 and pictures the way there.
"""

import os
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.chromium import launched

FOLDER = Path(__file__).parent.parent / "docs" / "images"
MACHINE = "practice-1"
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 800}
INSTALL_SECONDS = 400


def main(base: str, image: str) -> None:
    with launched() as browser:
        page = logged_in(browser, base, WIDE, "light")
        plan_and_install(page, base, image)
        for name in ("machines", "connect"):
            page.goto(f"{base}/{name}/")
            picture(page, name)
        page.goto(f"{base}/machines/{MACHINE}/")
        picture(page, "machine")
        picture(logged_in(browser, base, WIDE, "dark"), "fleet-dark")
        picture(logged_in(browser, base, PHONE, "light"), "fleet-phone")


def logged_in(browser: Browser, base: str, size: dict[str, int], theme: str) -> Page:
    page = browser.new_context(viewport=size, color_scheme=theme, locale="en-GB").new_page()  # type: ignore[arg-type]
    page.goto(f"{base}/login/")
    page.fill("input[name=username]", os.environ.get("DODAI_USER", "admin"))
    page.fill("input[name=password]", os.environ["DODAI_PASSWORD"])
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{base}/")
    return page


def plan_and_install(page: Page, base: str, image: str) -> None:
    page.goto(f"{base}/machines/{MACHINE}/install/")
    page.get_by_label(image).check()
    page.wait_for_url("**image=*")
    typed = page.locator("input[name=typed]")
    if typed.count():
        typed.fill(MACHINE)
    picture(page, "plan")
    page.locator("main form button.solid-danger, main form button.primary").last.click()
    page.wait_for_url("**/installs/*/")
    expect(page.locator("main")).to_contain_text("MB/s", timeout=1000 * INSTALL_SECONDS)
    picture(page, "install")
    page.goto(base)
    picture(page, "fleet")
    page.goto(f"{base}/machines/{MACHINE}/")
    expect(page.locator(".head")).to_contain_text("In use", timeout=1000 * INSTALL_SECONDS)


def picture(page: Page, name: str) -> None:
    page.wait_for_timeout(800)  # fonts, and the first answer of the event stream
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    print(path.name, path.stat().st_size >> 10, "KiB")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), sys.argv[2] if len(sys.argv) > 2 else "debian-12")
