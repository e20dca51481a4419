"""Settings of who gets in: sessions, cookies, the throttle of logins."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any


class AccessProblem(ValueError):
    """A setting that cannot be meant so; the text names it."""


def settings_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """Django's and axes' settings, by name. Raises AccessProblem."""
    origins = [url for url in environment.get("DODAI_TRUSTED_ORIGINS", "").split(",") if url]
    is_https = any(url.startswith("https://") for url in origins)
    return {
        "CSRF_TRUSTED_ORIGINS": origins,
        # A cookie that was once given over TLS must never be sent without it.
        "SESSION_COOKIE_SECURE": is_https,
        "CSRF_COOKIE_SECURE": is_https,
        "LANGUAGE_COOKIE_SECURE": is_https,
        "SESSION_COOKIE_AGE": 7 * 24 * 3600,
        "TRUSTED_PROXIES": _networks(environment.get("DODAI_TRUSTED_PROXIES", "")),
        "AUTHENTICATION_BACKENDS": [
            "axes.backends.AxesStandaloneBackend",
            "django.contrib.auth.backends.ModelBackend",
        ],
        "AXES_FAILURE_LIMIT": _number(environment, "DODAI_LOGIN_FAILURES", 5),
        "AXES_COOLOFF_TIME": timedelta(minutes=_number(environment, "DODAI_LOGIN_LOCK_MINUTES", 15)),
        "AXES_LOCKOUT_PARAMETERS": [["username", "ip_address"]],
        "AXES_RESET_ON_SUCCESS": True,
        # Who goes on trying is not locked for ever: the time counts from the last try that was looked at.
        "AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT": False,
        "AXES_LOCKOUT_CALLABLE": "dodaiweb.views.login.locked_out",
        "AXES_CLIENT_IP_CALLABLE": "dodaiweb.views.login.client_address",
        "AXES_DISABLE_ACCESS_LOG": False,  # Activity shows who logged in, and from where
        "AXES_ENABLE_ADMIN": False,
        "AXES_SENSITIVE_PARAMETERS": [],  # who is locked, and from where, is for the log; a password is never in it
        "AXES_VERBOSE": False,
    }


def _networks(text: str) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as exc:
        raise AccessProblem(f"DODAI_TRUSTED_PROXIES: {exc}. Name addresses or networks, like 10.0.0.0/24") from exc


def _number(environment: Mapping[str, str], name: str, usual: int) -> int:
    text = environment.get(name) or str(usual)
    if not text.isdecimal() or int(text) < 1:
        raise AccessProblem(f"{name} must be a number from 1, not {text!r}")
    return int(text)
