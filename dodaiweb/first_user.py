"""The first person who can log in."""

import secrets

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

NAME = "admin"
PASSWORD_BYTES = 12


def create() -> str | None:
    """Make the user `admin` if there is no user at all; its password, which nobody can ask for again, else None."""
    users = get_user_model().objects
    if users.exists():
        return None
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user = users.create_superuser(NAME, password=password)
    user.groups.set(Group.objects.filter(name="admin"))
    return password
