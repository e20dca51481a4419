#!/usr/bin/env python3
"""Dodai's commands. Needs nothing but Python: the first run makes `.venv` and goes on inside it."""

import os
import sys

from dodaiweb import bootstrap, options


def main() -> None:
    bootstrap.enter(development=sys.argv[1:2] == ["test"])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dodaiweb.settings")
    options.apply(sys.argv[1:])
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
