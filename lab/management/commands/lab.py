"""manage.py lab run|status|start|stop|ssh: the practice servers."""

import asyncio
import json
from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lab import control, supervise
from lab.errors import LabError
from lab.profiles import profiles
from lab.qemu import Ports

MOST = 50


class Command(BaseCommand):
    help = "Practice servers: virtual machines with a real IPMI BMC each."
    requires_system_checks = []  # it uses no database

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        run = verbs.add_parser("run", help="run the lab until Ctrl-C")
        run.add_argument("--count", type=_count, default=3, help="how many servers (default 3)")
        run.add_argument("--provision-port", type=int, default=8001, help="the port on this host that boots them")
        run.add_argument("--image-port", type=int, help="the port that serves images (default: the one after it)")
        run.add_argument("--server-host", default="127.0.0.1", help="the address of both ports on this host")
        run.add_argument("--accel", choices=("auto", "tcg", "kvm"), default="auto")
        status = verbs.add_parser("status", help="show the servers of the running lab")
        status.add_argument("--json", action="store_true", dest="as_json")
        for verb, words in (("start", "switch on"), ("stop", "switch off")):
            verbs.add_parser(verb, help=f"{words} one server, or all").add_argument("name", nargs="?")
        verbs.add_parser("ssh", help="open a way to one server's SSH and say which").add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._do(options)
        except LabError as exc:
            raise CommandError(str(exc)) from exc

    def _do(self, options: dict[str, Any]) -> None:
        match options["verb"]:
            case "run":
                image_port = options["image_port"] or options["provision_port"] + 1
                ports = Ports(options["provision_port"], image_port, host=options["server_host"])
                servers = profiles(options["count"], settings.DATA)
                asyncio.run(supervise.run(servers, settings.DATA, ports, accel=options["accel"]))
            case "status":
                self._show(control.ask(settings.DATA, "status"), as_json=options["as_json"])
            case "ssh":
                way = control.ask(settings.DATA, "ssh", name=options["name"])
                self.stdout.write(f"ssh -p {way['port']} root@127.0.0.1")
            case verb:
                self._show(control.ask(settings.DATA, verb, name=options["name"]), as_json=False)

    def _show(self, status: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(status, indent=1))
            return
        for machine in status["machines"]:
            self.stdout.write(
                "{name:<12} {power:<4} {firmware:<5} {disk_bus:<7} bmc {bmc:<16} console {console}".format(**machine)
            )
            if machine["problem"]:
                self.stdout.write(f"    {machine['problem']}")
        self.stdout.write(f"accelerator: {status['accelerator']}; firmware's own PXE: {status['native_pxe']['reason']}")


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MOST:
        raise ArgumentTypeError(f"a number from 1 to {MOST}")
    return int(text)
