"""The mail server, from one address: smtp://user:password@host:587/?from=dodai@example.org, or smtps://."""

from urllib.parse import parse_qs, unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465}
TIMEOUT_SECONDS = 10
ENCRYPTIONS = ("starttls", "none")


class MailProblem(Exception):
    """The address is wrong. The message says how, and holds no password."""


def settings_of(url: str) -> dict[str, object]:
    """Django's EMAIL_ settings. An empty host where no mail server is set. Raises MailProblem.

    smtp:// is encrypted by STARTTLS unless ?tls=none says otherwise; smtps:// from the first byte.
    """
    if not url:
        return {"EMAIL_HOST": ""}
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise MailProblem("DODAI_MAIL_URL is no URL: write special characters of the password %-encoded") from None
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    encryption = options.get("tls", "starttls")
    if parts.scheme not in PORTS or not parts.hostname:
        raise MailProblem("DODAI_MAIL_URL must begin with smtp:// or smtps:// and name a host")
    if encryption not in ENCRYPTIONS:
        raise MailProblem("DODAI_MAIL_URL: tls is starttls or none")
    if "@" not in options.get("from", ""):
        raise MailProblem("DODAI_MAIL_URL must say who mails come from: ?from=dodai@example.org")
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port or PORTS[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp" and encryption == "starttls",
        "EMAIL_TIMEOUT": TIMEOUT_SECONDS,
        "DEFAULT_FROM_EMAIL": options["from"],
    }
