"""Keeps tokens out of what people and logs get to see."""

import logging
import re

# Tokens are 43 characters of base64url (installs/tokens.py); they stand in addresses and in one header.
SECRET = re.compile(r"((?:/script/|/first-boot/|Bearer\s+))[A-Za-z0-9_-]{20,}")


def masked(text: str) -> str:
    return SECRET.sub(r"\1•••", text)


class MaskTokens(logging.Filter):
    """Django names the path in its lines about 4xx and 5xx answers, and some paths hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        return True
