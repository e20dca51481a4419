"""The mail server from one address."""

import pytest

from dodaiweb.mail import MailProblem, settings_of


def test_everything_of_an_address():
    assert settings_of("smtp://me:p%40ss@mail.example.org:2525/?from=dodai@example.org") == {
        "EMAIL_HOST": "mail.example.org",
        "EMAIL_PORT": 2525,
        "EMAIL_HOST_USER": "me",
        "EMAIL_HOST_PASSWORD": "p@ss",
        "EMAIL_USE_SSL": False,
        "EMAIL_USE_TLS": True,
        "EMAIL_TIMEOUT": 10,
        "DEFAULT_FROM_EMAIL": "dodai@example.org",
    }


@pytest.mark.parametrize(
    ("url", "port", "starttls", "tls"),
    [
        ("smtp://h/?from=a@b", 587, True, False),
        ("smtps://h/?from=a@b", 465, False, True),
        ("smtp://h:25/?from=a@b&tls=none", 25, False, False),
    ],
)
def test_encryption(url, port, starttls, tls):
    made = settings_of(url)
    assert (made["EMAIL_PORT"], made["EMAIL_USE_TLS"], made["EMAIL_USE_SSL"]) == (port, starttls, tls)


def test_no_address_is_no_mail_server():
    assert settings_of("") == {"EMAIL_HOST": ""}


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.org", "http://u:hidden@h/?from=a@b", "smtp:///?from=a@b", "smtp://u:hidden@h", "smtp://u:hidden@h:x/",
        "smtp://u:hidden@h/?from=a@b&tls=maybe",
    ],
)  # fmt: skip
def test_a_wrong_address_is_said_without_its_password(url):
    with pytest.raises(MailProblem) as problem:
        settings_of(url)
    assert "hidden" not in str(problem.value)
    assert problem.value.__suppress_context__ or problem.value.__context__ is None
