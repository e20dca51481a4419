"""Passwords that everybody tries first."""

LEAST_LETTERS = 16  # IPMI takes 20

# What BMCs came with, by their makers' manuals: public for years, and the first thing that a worm tries.
DEFAULTS = frozenset({
    "", "0penbmc", "1234", "12345", "123456", "12345678", "admin", "administrator", "advocate", "amiadmin", "asdf1234",
    "changeme", "calvin", "cmb9.admin", "default", "gigabyte", "huawei12#$", "insyde", "ipmi", "megarac", "netgear",
    "operator", "p@ssw0rd", "passw0rd", "password", "password123", "r00tme", "raritan", "root", "secret", "super",
    "superuser", "supervisor", "sysadmin", "test", "toor", "user", "welcome", "admin123", "admin12345",
})  # fmt: skip


def weaknesses(username: str, password: str, *, used_by: int) -> list[str]:
    """Codes of what is weak about a password that so many BMCs have."""
    if not password:
        return ["password-none"]
    if password.lower() in DEFAULTS or password.lower() == username.lower():
        return ["password-default"]
    short = ["password-short"] if len(password) < LEAST_LETTERS else []
    return short + (["password-shared"] if used_by > 1 else [])
