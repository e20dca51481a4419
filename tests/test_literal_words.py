"""No page says anything that cannot be translated."""

import pytest

from tests.literal_words import PAGES, ROOT, in_python, in_template

TEMPLATES = sorted(str(path.relative_to(PAGES)) for path in PAGES.rglob("*.*"))
SPEAKING = frozenset({"messages.error", "messages.success", "messages.info", "messages.warning"})
VIEWS = sorted(
    str(path.relative_to(ROOT)) for app in ("dodaiweb", "machines", "installs") for path in (ROOT / app).rglob("*.py")
)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_word_of_a_template_can_be_translated(name):
    assert list(in_template((PAGES / name).read_text())) == []


@pytest.mark.parametrize("name", VIEWS)
def test_what_a_view_says_can_be_translated(name):
    assert list(in_python((ROOT / name).read_text(), names=SPEAKING)) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>Switch it on</p>",
        '<button aria-label="Close">{{ icon("x") }}</button>',
        "<p>{{ 'Elapsed' if live else took }}</p>",
        "<p>{{ _('On') }} since {{ then }}</p>",
        "{{ disks|plural('disk') }}",
        "{{ head('name', 'Machine') }}",
        "{% set text = 'Try again' %}",
        "{{ {'on': 'Switch on'}[action] }}",
        "<p title='{% if bad %}It is broken{% endif %}'></p>",
    ],
)
def test_a_literal_word_is_found(source):
    assert list(in_template(source))


@pytest.mark.parametrize(
    "source",
    [
        "<p>{{ _('Switch it on') }}</p>",
        "{% trans name=x %}Hello {{ name }}{% endtrans %}",
        "<p>MAC {{ mac }}, <code>manage.py up</code></p>",
        "{# A word to the reader #}",
        "{% if state == 'in_use' %}x{% endif %}",
        "<a class='btn primary' href='{{ url('machines') }}?state=free'>{{ icon('x', 16) }}</a>",
        "{{ th('name', _('Machine')) }}",
        "{% set may = request.user.has_perm('machines.view_machine') %}",
    ],
)
def test_what_is_translated_or_nobody_reads_is_not_found(source):
    assert not list(in_template(source))


def test_an_f_string_said_by_a_view_is_found():
    source = 'messages.error(request, f"{name} is off")\nmessages.error(request, _("x %(n)s") % {"n": 1})'
    assert len(list(in_python(source, names=SPEAKING))) == 1
