"""Carries one notice to its receiver: by HTTP, signed as standardwebhooks.com says, or by mail."""

import base64
import binascii
import hashlib
import hmac
import json
import smtplib
import time

from django.conf import settings
from django.core.mail import EmailMessage

from dodaiweb import keys, outbound
from installs.models import Notice, NoticeTarget
from installs.notices.words import subject_of, text_of

MAY_TAKE_SECONDS = 15.0
READ_BYTES = 4096  # of an answer nobody reads
SECRET_PREFIX = "whsec_"  # noqa: S105
MAY_COME_BACK = {408, 409, 425, 429}  # of the 4xx; all others say that the request itself is wrong


class NotDelivered(Exception):
    """The receiver did not take it. The message is for the operator, without secrets."""

    def __init__(self, message: str, *, may_retry: bool) -> None:
        super().__init__(message)
        self.may_retry = may_retry


def deliver(notice: Notice) -> str:
    """Send it, and say how it was taken. Raises NotDelivered."""
    if notice.target.kind == NoticeTarget.Kind.MAIL:
        return _mail(notice)
    return _post(notice)


def signature(secret: str, *, uid: str, timestamp: int, body: bytes) -> str:
    """`v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`. The key: what follows whsec_, or the text itself."""
    signed = f"{uid}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _post(notice: Notice) -> str:
    body = json.dumps(notice.payload, ensure_ascii=False).encode()
    target = notice.target
    try:
        with outbound.opened(
            "POST", target.address, private=target.is_private, headers=_headers(notice, body), body=body,
            total_seconds=MAY_TAKE_SECONDS,
        ) as answer:  # fmt: skip
            answer.read(READ_BYTES)
            status = answer.status
    except outbound.OutboundError as exc:
        raise NotDelivered(str(exc), may_retry=not isinstance(exc, outbound.Forbidden)) from None
    if 200 <= status < 300:
        return f"answered {status}"
    if 300 <= status < 400:
        words = f"answered {status}, a redirect, which is not followed: enter where it leads"
        raise NotDelivered(words, may_retry=False)
    raise NotDelivered(f"answered {status}", may_retry=status >= 500 or status in MAY_COME_BACK)


def _headers(notice: Notice, body: bytes) -> dict[str, str]:
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "dodai-notices/1",
        "webhook-id": notice.uid,
        "webhook-timestamp": str(timestamp),
    }
    try:
        secret = notice.target.secret
    except keys.KeyProblem as exc:
        raise NotDelivered(f"its secret cannot be read: {exc}", may_retry=True) from exc
    if secret:
        headers["webhook-signature"] = signature(secret, uid=notice.uid, timestamp=timestamp, body=body)
    return headers


def _key(secret: str) -> bytes:
    if secret.startswith(SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            pass  # then the text is the key, prefix and all
    return secret.encode()


def _mail(notice: Notice) -> str:
    if not settings.EMAIL_HOST:
        raise NotDelivered("no mail server is set: start Dodai with DODAI_MAIL_URL", may_retry=True)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">") or "dodai"
    message = EmailMessage(
        subject_of(notice.payload), text_of(notice.payload), to=[notice.target.address],
        headers={"Message-ID": f"<{notice.uid}@{domain}>", "Auto-Submitted": "auto-generated"},
    )  # fmt: skip
    try:
        message.send()
    except smtplib.SMTPAuthenticationError as exc:
        raise NotDelivered(f"the mail server refused our user or password ({exc.smtp_code})", may_retry=True) from None
    except smtplib.SMTPRecipientsRefused as exc:
        code = max((reply[0] for reply in exc.recipients.values()), default=500)
        raise NotDelivered(f"the mail server refused the receiver ({code})", may_retry=code < 500) from None
    except smtplib.SMTPResponseException as exc:
        raise NotDelivered(f"the mail server answered {exc.smtp_code}", may_retry=exc.smtp_code < 500) from None
    except (OSError, smtplib.SMTPException) as exc:
        words = getattr(exc, "strerror", None) or type(exc).__name__
        raise NotDelivered(f"the mail server {settings.EMAIL_HOST} failed: {words}", may_retry=True) from None
    return "taken by the mail server"
