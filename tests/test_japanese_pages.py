"""Pages in Japanese hold no English but names, facts of machines, and what was stored as it happened."""

import re
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.urls import reverse

from installs.models import Install, NoticeTarget
from installs.notices import outbox
from tests import pooling, scenes

pytestmark = pytest.mark.django_db
ENGLISH = re.compile(r"[A-Za-z][a-z'-]+(?:[ ,]+[a-z'-]+)+|^[A-Z][a-z]{2,}$")
SILENT = {"code", "kbd", "script", "style", "pre", "title"}
STORED = {"say", "log", "mono"}
"""Classes of what was stored in English: sentences of events and errors, lines of logs."""
SPOKEN = ("aria-label", "title", "placeholder", "data-confirm", "data-yes", "data-l")
FACTS = re.compile(
    r"Supermicro|Intel Xeon|Silver|Micron|English|Dodai|Debian|Fan 3|fan 3 rattles|tar archive, zstd|ext4 file system|"
    r"^(name|bmc_driver|mac|disk_serial), .*|Connection refused|The image has the SHA-256 .*|Practice|Kea|Django|"
    r"Python|debian|practice|kobe|kyoto|storage|old-data|admin|viewer|operator|ada|grace|Webhook|Redfish|Kdump|Valkey|"
    r"manage\.py [a-z-]+( [A-Za-z-]+)*|it was to fail"
)


class Texts(HTMLParser):
    """The texts of a page and of its spoken attributes, but for what nobody translates."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        classes = set((values.get("class") or "").split())
        is_silent = tag in SILENT or bool(classes & STORED) or values.get("lang") == "en"
        if tag not in ("br", "img", "input", "link", "meta", "hr", "path", "rect", "circle", "wbr"):
            self._open.append((tag, is_silent))
        if not is_silent and not self._is_silent():
            self.found += [str(values[name]) for name in SPOKEN if values.get(name)]

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not self._is_silent():
            self.found.append(" ".join(data.split()))

    def _is_silent(self) -> bool:
        return any(silent for _, silent in self._open)


def english_in(html: str) -> list[str]:
    reader = Texts()
    reader.feed(html)
    return sorted({text for text in reader.found if ENGLISH.search(FACTS.sub("", text))})


@pytest.fixture
def japanese(client):
    client.force_login(scenes.make_user("admin", is_staff=True))
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "ja"
    return client


def addresses(made) -> list[str]:
    image = made["failed"].image_id
    names = "fleet machines installs images sightings clusters vlans activity system doctor connect notices"
    pages = [reverse(name) for name in (*names.split(), "inventory_import", "image_import_new")]
    pages += [reverse("install", args=[install.pk]) for install in made.values()]
    pages += [reverse("machine", args=[f"node-{number:02}"]) for number in (1, 8, 9, 11, 12, 13, 14, 15, 16, 18, 23)]
    pages += [f"/machines/node-{number:02}/install/?image={image}" for number in (1, 14, 15)]
    return [*pages, "/?by=power", "/machines/?q=nothing", "/installs/?inspections=1", "/installs/?state=failed"]


def test_no_page_of_a_whole_fleet_speaks_english(japanese):
    made = scenes.whole_fleet()
    target = NoticeTarget.objects.create(name="ops", address="http://[::1]:1/", is_private=True)
    outbox.send_test(target, by="ada")
    outbox.deliver_due()
    left = {}
    with scenes.named_ramdisk():
        for path in [*addresses(made), reverse("notice", args=[target.pk])]:
            response = japanese.get(path)
            assert response.status_code == 200, path
            if found := english_in(response.content.decode()):
                left[path] = found
    assert left == {}


def test_no_page_of_allocations_pool_and_networks_does(japanese):
    with scenes.named_ramdisk():
        asked = pooling.wanted()
        pages = pooling.some_of_each(asked, pooling.cabled_fleet(asked))
        pages += ["/installs/?inspections=1", "/machines/node8/"]
        pages += [reverse("install", args=[install.pk]) for install in Install.objects.all()]
        left = {path: english_in(japanese.get(path).content.decode()) for path in pages}
    assert {path: found for path, found in left.items() if found} == {}


def test_no_empty_page_does(japanese):
    paths = (
        "/", "/machines/", "/installs/", "/images/", "/sightings/", "/notices/", "/allocations/", "/pool/", "/cabling/",
        "/waves/", "/allocations/new/",
    )  # fmt: skip
    for path in paths:
        assert english_in(japanese.get(path).content.decode()) == []


def test_english_is_noticed():
    page = "<p>マシン</p><p>It is off</p><b title='See why'></b><i>Install</i>"
    assert english_in(page) == ["Install", "It is off", "See why"]
    assert english_in("<code>manage.py up</code><p class='say'>It failed</p><p>node-01 は Debian</p>") == []
