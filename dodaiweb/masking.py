"""Keeps tokens out of what people and logs get to see."""

import logging
import re

# Tokens are 43 characters of base64url (installs/tokens.py); they stand in addresses and in one header.
SECRET = re.compile(r"((?:/script/|/first-boot/|Bearer\s+))[A-Za-z0-9_-]{20,}")

# Where a stranger put one elsewhere: in logs no word so long is worth the risk, but digests.
LOOKS_LIKE_ONE = re.compile(r"(?![0-9a-f]{43,}(?![\w-]))[A-Za-z0-9_-]{43,}")
LONGEST_MESSAGE = 4000


def masked(text: str) -> str:
    return SECRET.sub(r"\1•••", text)


class MaskTokens(logging.Filter):
    """Django names the path in its lines about 4xx and 5xx answers, and some paths hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = LOOKS_LIKE_ONE.sub("•••", masked(record.getMessage()))
        record.msg, record.args = message[:LONGEST_MESSAGE], ()
        return True
