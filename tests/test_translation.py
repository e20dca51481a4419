"""The Japanese is complete and fits the English, and the pages change their language."""

import re
from gettext import GNUTranslations
from pathlib import Path

import pytest

pytest.importorskip("babel")  # which only developers have

from django.conf import settings
from django.utils.translation import override

from dodaiweb.testing import translation

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|%[sd]")
TAG = re.compile(r"</?[a-z]+")


@pytest.fixture(scope="module", params=translation.LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def catalog(language):
    return translation.read(language)


def forms(string) -> tuple[str, ...]:
    return tuple(string) if isinstance(string, (tuple, list)) else (string,)


def translated(catalog):
    return [message for message in catalog if message.id and all(forms(message.string))]


def keys(catalog) -> set[tuple[tuple[str, ...], str | None]]:
    return {(tuple(forms(message.id)), message.context) for message in catalog if message.id}


def test_the_file_has_exactly_the_messages_of_the_program(catalog):
    there, wanted = keys(catalog), keys(translation.extracted())
    assert wanted - there == set(), "run `python3 manage.py messages` and translate what is new"
    assert there - wanted == set(), "run `python3 manage.py messages`: these are gone"


def test_every_message_is_translated_and_none_is_a_guess(catalog):
    assert translation.untranslated(catalog) == []


def test_a_translation_has_the_placeholders_of_its_source(catalog):
    wrong = [
        (message.id, message.string)
        for message in translated(catalog)
        for form in forms(message.string)
        if set(PLACEHOLDER.findall(form)) != set(PLACEHOLDER.findall(forms(message.id)[-1]))
    ]
    assert wrong == []


def test_a_translation_has_the_markup_of_its_source(catalog):
    def tags(text):
        return sorted(TAG.findall(text))

    wrong = [m.id for m in translated(catalog) for form in forms(m.string) if tags(form) != tags(forms(m.id)[-1])]
    assert wrong == []


def test_plurals_have_as_many_forms_as_the_language(catalog):
    wrong = [
        m.id for m in translated(catalog) if len(forms(m.string)) != (catalog.num_plurals if m.pluralizable else 1)
    ]
    assert wrong == []


def test_what_is_compiled_is_what_is_written(language, catalog):
    with (translation.folder(language) / "django.mo").open("rb") as file:
        compiled = GNUTranslations(file)
    assert [m.id for m in translated(catalog) if said(compiled, m) != forms(m.string)] == []


def said(compiled: GNUTranslations, message) -> tuple[str, ...]:
    """What a page would show. Every language here has one plural form."""
    one, *many = forms(message.id)
    match message.context, many:
        case None, []:
            return (compiled.gettext(one),)
        case None, [other]:
            return (compiled.ngettext(one, other, 2),)
        case context, []:
            return (compiled.pgettext(context, one),)
        case context, [other]:
            return (compiled.npgettext(context, one, other, 2),)
    raise AssertionError(message)


def test_collecting_again_changes_nothing(language, tmp_path):
    for place in (*translation.PLACES, "locale"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to(translation.ROOT / place)
    (tmp_path / "locale").unlink()
    copy = translation.folder(language, root=tmp_path)
    copy.mkdir(parents=True)
    before = (translation.folder(language) / "django.po").read_bytes()
    (copy / "django.po").write_bytes(before)
    translation.update(language, root=tmp_path)
    assert (copy / "django.po").read_bytes() == before


def sources(root: Path, text: str, *, name: str = "page.html") -> None:
    (root / "templates" / "pages").mkdir(parents=True, exist_ok=True)
    (root / "templates" / "pages" / name).write_text(text)


def test_pages_and_python_are_both_read(tmp_path):
    sources(tmp_path, '{{ _("On") }}{% trans count=n %}one{% pluralize %}{{ count }} of them{% endtrans %}')
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines" / "words.py").write_text('A = gettext_lazy("Off")\nB = pgettext_lazy("disk", "Free")\n')
    found = keys(translation.extracted(tmp_path))
    assert found == {(("On",), None), (("one", "%(count)s of them"), None), (("Off",), None), (("Free",), "disk")}


def test_templates_of_the_admin_are_read_and_a_tag_that_cannot_be_is_refused(tmp_path):
    folder = tmp_path / "templates" / "django"
    folder.mkdir(parents=True)
    (folder / "a.html").write_text('<b>{% translate "Back" %}</b>{% load i18n %}{% trans_x %}')
    assert keys(translation.extracted(tmp_path)) == {(("Back",), None)}
    for text in ("{% translate 'Back' %}", "{% blocktranslate %}Back{% endblocktranslate %}", '{% trans "Back" %}'):
        (folder / "a.html").write_text(text)
        with pytest.raises(ValueError, match=r"a\.html:1"):
            translation.extracted(tmp_path)


def test_a_changed_sentence_loses_its_translation_instead_of_guessing(tmp_path):
    sources(tmp_path, '{{ _("Switch it on") }}')
    made = translation.update("ja", root=tmp_path)
    made["Switch it on"].string = "入れる"
    with (translation.folder("ja", root=tmp_path) / "django.po").open("wb") as file:
        translation.write_po(file, made)
    sources(tmp_path, '{{ _("Switch it on!") }}')
    assert translation.untranslated(translation.update("ja", root=tmp_path)) == ["Switch it on!"]


def test_a_language_is_chosen_on_any_page_and_kept(client, db):
    assert '<html lang="en">' in client.get("/login/").content.decode()
    answer = client.post("/language/", {"language": "ja", "next": "/login/?next=/machines/"})
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/machines/")
    cookie = answer.cookies[settings.LANGUAGE_COOKIE_NAME]
    assert (cookie.value, cookie["samesite"], bool(cookie["httponly"])) == ("ja", "Lax", True)
    assert '<html lang="ja">' in client.get("/login/").content.decode()
    client.post("/language/", {"language": "en", "next": "/"})
    assert '<html lang="en">' in client.get("/login/").content.decode()


def test_a_browser_that_wants_japanese_gets_it(client, db):
    assert '<html lang="ja">' in client.get("/login/", headers={"accept-language": "ja,en;q=0.5"}).content.decode()


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_choosing_a_language_leads_to_no_other_site(client, db, elsewhere):
    answer = client.post("/language/", {"language": "ja", "next": elsewhere})
    assert answer["Location"] == "/"


def test_an_unknown_language_is_not_kept(client, db):
    answer = client.post("/language/", {"language": "xx", "next": "/login/"})
    assert settings.LANGUAGE_COOKIE_NAME not in answer.cookies


@pytest.mark.parametrize("name", ["403.html", "403_csrf.html", "404.html", "500.html"])
def test_pages_of_errors_need_no_request(name):
    """Django renders some of them without one: nothing in them may depend on it."""
    from django.template import loader

    with override("ja"):
        assert '<html lang="ja">' in loader.get_template(name).render({}, None)
