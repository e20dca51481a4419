"""Takes the words out of pages and Python, and keeps locale/<language>/LC_MESSAGES/django.po and .mo.

For developers: needs Babel. What runs needs neither it nor gettext's programs: the compiled .mo is in the repository.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent.parent
LANGUAGES = ("ja",)  # English is the source
PLACES = {
    "templates/pages": ("*.html", "*.json", "*.txt"), "templates/django": ("*.html",),
    "dodaiweb": ("*.py",), "machines": ("*.py",), "installs": ("*.py",), "lab": ("*.py",),
}  # fmt: skip
SINGLE, PLURAL, CONTEXT, BOTH = None, (1, 2), ((1, "c"), 2), ((1, "c"), 2, 3)
KEYWORDS = {
    "_": SINGLE, "gettext": SINGLE, "gettext_lazy": SINGLE, "gettext_noop": SINGLE,
    "N_": SINGLE, "P_": PLURAL,  # in tables, said later: machines/saying.py
    "ngettext": PLURAL, "ngettext_lazy": PLURAL, "pgettext": CONTEXT, "pgettext_lazy": CONTEXT,
    "npgettext": BOTH, "npgettext_lazy": BOTH,
}  # fmt: skip
# As dodaiweb/pages.py sets them: they decide which blanks are part of a message.
JINJA = {"newstyle_gettext": "true", "trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
DJANGO_TAG = re.compile(r"""{%-? *translate "([^"]*)" *%}""")
UNREAD_TAG = re.compile(r"""{%-? *(?:trans|blocktrans|blocktranslate)\b|{%-? *translate (?!"[^"]*" *%})""")
Message = tuple[int, str | tuple[str, ...], str | None]
"""Line, one text or the forms of a plural, context."""
# Both dates would change with every run and say nothing that git does not.
DATED = datetime(2026, 11, 22, tzinfo=UTC)


def folder(language: str, *, root: Path = ROOT) -> Path:
    return root / "locale" / language / "LC_MESSAGES"


def extracted(root: Path = ROOT) -> Catalog:
    """Every message that pages and Python have, each with the files it stands in."""
    catalog = Catalog(project="dodai", fuzzy=False)
    for path, found in _messages(root):
        name = str(path.relative_to(root))
        for line, message, context in found:
            catalog.add(message, locations=[(name, line)], context=context)
    return catalog


def read(language: str, *, root: Path = ROOT) -> Catalog:
    """The translations there are; an empty catalogue where there is no file yet."""
    path = folder(language, root=root) / "django.po"
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str, *, root: Path = ROOT) -> Catalog:
    """Bring the .po in line with what is extracted, and compile it. What no longer exists is dropped."""
    catalog = read(language, root=root)
    catalog.update(extracted(root), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    catalog.fuzzy, catalog.project, catalog.version = False, "dodai", ""
    catalog.header_comment = "# The words of Dodai. `python3 manage.py messages` keeps this file."
    catalog.creation_date = catalog.revision_date = DATED
    catalog.last_translator = catalog.language_team = "Dodai"
    catalog.msgid_bugs_address = ""
    folder(language, root=root).mkdir(parents=True, exist_ok=True)
    with (folder(language, root=root) / "django.po").open("wb") as file:
        write_po(file, catalog, width=120, sort_output=True, include_lineno=False)
    with (folder(language, root=root) / "django.mo").open("wb") as file:
        write_mo(file, catalog)
    return catalog


def untranslated(catalog: Catalog) -> list[str]:
    """Messages without a translation, or with one that is only a guess."""
    return [_forms(m.id)[0] for m in catalog if m.id and (m.fuzzy or not all(_forms(m.string)))]


def _messages(root: Path) -> Iterator[tuple[Path, list[Message]]]:
    for place, patterns in PLACES.items():
        for path in sorted(path for pattern in patterns for path in (root / place).rglob(pattern)):
            yield path, list(_of_django(path) if place == "templates/django" else _of_babel(path))


def _of_babel(path: Path) -> Iterator[Message]:
    method, options = ("python", {}) if path.suffix == ".py" else ("jinja2.ext:babel_extract", JINJA)
    for line, message, _comments, context in extract_from_file(method, path, keywords=KEYWORDS, options=options):
        yield line, message, context


def _of_django(path: Path) -> Iterator[Message]:
    """The one tag that templates of the admin use. Another one is refused, so that no sentence is left out."""
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if UNREAD_TAG.search(text):
            raise ValueError(f'{path}:{line}: write it as {{% translate "..." %}}, which can be collected')
        for message in DJANGO_TAG.findall(text):
            yield line, message, None


def _forms(text: str | Sequence[str] | None) -> tuple[str, ...]:
    return (text or "",) if text is None or isinstance(text, str) else tuple(text)
