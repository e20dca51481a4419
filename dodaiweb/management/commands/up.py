"""`manage.py up`: everything that Dodai is, from one command until Ctrl-C."""

import argparse
import os
import signal
import sys
from contextlib import closing
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from dodaiweb import advertised, debian, first_user, folder, listening, options, startup, valkey
from dodaiweb.options import Options
from dodaiweb.supervisor import ChildFailed, Stopped, Supervisor
from lab import needs

PROBLEMS = (folder.FolderProblem, listening.AddressProblem, valkey.ValkeyProblem, ChildFailed)


class Command(BaseCommand):
    help = "Set up and start everything: pages, provisioning listener, images, workers and the practice servers."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        options.add_arguments(parser)

    def handle(self, *args: str, **values: Any) -> None:
        chosen = options.of(values)
        log = _Log()
        try:
            with closing(self._lock(chosen)):
                listening.require_free(startup.addresses(chosen))
                urls = {"pages": settings.PAGES_URL, "provision": settings.PROVISION_URL, "images": settings.IMAGE_URL}
                advertised.write(settings.DATA, urls)
                with Supervisor(log.line) as supervisor:
                    self._start(supervisor, chosen, log)
                    supervisor.run()
                    log.note("Stopping ...")
            log.note("Stopped.")
        except Stopped:
            log.note("Stopped before everything had started.")
        except PROBLEMS as problem:
            sys.exit(f"Dodai did not start: {problem}")

    def _lock(self, chosen: Options) -> folder.Lock:
        started = timezone.localtime().strftime("%Y-%m-%d %H:%M:%S")
        return folder.Lock(settings.DATA, folder.Holder(os.getpid(), started, _address(chosen)))

    def _start(self, supervisor: Supervisor, chosen: Options, log: "_Log") -> None:
        password = startup.start(supervisor, chosen, log.note)
        if chosen.lab and _lab_is_possible(log):
            for child in startup.lab_children(chosen):
                supervisor.start(child)
        login = f"  user {first_user.NAME}  password {password}" if password else ""
        log.note(f"ready: {_address(chosen)}{login}")


def _address(chosen: Options) -> str:
    return f"http://{options.advertised_address(chosen.host)}:{chosen.port}"


def _lab_is_possible(log: "_Log") -> bool:
    missing = needs.missing()
    if not missing or (debian.install(missing, "The practice servers (--lab)") and not needs.missing()):
        return True
    log.note("Going on without practice servers; the next `up` looks again.")
    return False


class _Log:
    """The terminal: a line of ours as it is, a child's with its name in front."""

    def __init__(self) -> None:
        self._is_gone = False

    def note(self, text: str) -> None:
        self._write(text)

    def line(self, name: str, text: str) -> None:
        self._write(f"{name:<10} | {text}")

    def _write(self, text: str) -> None:
        if self._is_gone:
            return
        try:
            print(text, flush=True)
        except OSError:  # the terminal or the pipe was closed: nobody looks any more, so end in order
            self._is_gone = True
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays until the end
            os.kill(os.getpid(), signal.SIGTERM)
