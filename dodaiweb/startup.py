"""What `up` starts, in which order, and how it knows that each part is there."""

import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError, call_command

from dodaiweb import first_user, keys, listening, valkey
from dodaiweb.listening import Address
from dodaiweb.options import Options
from dodaiweb.processes import Child, Restart
from dodaiweb.supervisor import Supervisor
from installs import reach
from machines import key_proof

VALKEY_SECONDS = 20
MIGRATE_SECONDS = 600  # an old PostgreSQL with years of events in it
ANSWER_SECONDS = 60
PREPARE_TRIES = 5
# Its memory is never saved to disk, so overcommit does not matter; that it ends when told is no news.
_VALKEY_CHATTER = ("Memory overcommit", "scheduling shutdown", "ready to exit")
# Imported once, before the first fork, and shared by all children from then on.
_SHARED_MODULES = (
    "django.contrib.auth.backends",
    "django.core.management.commands.migrate",
    "django_rq",
    "dodaiweb.asgi",
    "dodaiweb.images_app",
    "dodaiweb.provision_urls",
    "dodaiweb.urls",
    "dodaiweb.wsgi",
    "httptools",
    "machines.power",
    "rq.worker",
    "starlette.responses",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "waitress.server",
)


def addresses(options: Options) -> list[Address]:
    """Where the program listens."""
    return [
        Address("the pages", options.host, options.port, "--port"),
        Address("the provisioning listener", options.provision_host, options.provision_port, "--provision-port"),
        Address("the images", options.provision_host, options.image_port, "--provision-port"),
    ]


def children(options: Options) -> list[Child]:
    """The processes that run all the time, one line each; a new one is a line more."""
    machines_reach = ("--host", options.provision_host)
    return [
        _command("web", "--host", options.host, "--port", options.port),
        _command("provision", *machines_reach, "--port", options.provision_port),
        _command("images", *machines_reach, "--port", options.image_port),
        _command("watchdog"),
        _command("poll_power"),
        _command("copy_images"),
        _command("import_images", *(["--debian"] if options.lab and options.debian else [])),
        *(_command("worker", name=f"worker-{number}") for number in range(1, options.workers + 1)),
    ]


def lab_children(options: Options) -> list[Child]:
    """The practice servers, and beside them what builds their ramdisk and image, registers and inspects them."""
    count = options.lab
    listener = addresses(options)[1]
    ports = ("--provision-port", options.provision_port, "--image-port", options.image_port)
    return [
        # Last: a call to a practice server's BMC that is under way would wait out the BMC's end for seconds.
        _command("lab", "run", "--count", count, *ports, "--server-host", listener.reachable_host, last=True),
        _command("prepare", "--lab", count, "--keep", restart=Restart.ON_FAILURE, tries=PREPARE_TRIES),
    ]


def start(supervisor: Supervisor, options: Options, say: Callable[[str], None]) -> str | None:
    """Start everything but the lab and return once it answers; the first password if it was made now."""
    for module in _SHARED_MODULES:
        importlib.import_module(module)
    _start_valkey(supervisor)
    say("Bringing the database up to date ...")
    supervisor.complete(_once("migrate", _migrate), seconds=MIGRATE_SECONDS)
    for child in children(options):
        supervisor.start(child)
    supervisor.complete(_once("answer", partial(_require_answers, options)), seconds=ANSWER_SECONDS + 5)
    supervisor.start(_once("reach", _tell_of_reach, output=lambda line: say(f"WARNING  {line}")))
    return _first_password(supervisor)


def _command(
    command: str,
    *arguments: str | int,
    name: str | None = None,
    restart: Restart = Restart.ALWAYS,
    tries: int | None = None,
    last: bool = False,
) -> Child:
    run = partial(_call, command, *(str(argument) for argument in arguments))
    return Child(name or command, run, restart=restart, tries=tries, last=last)


def _call(command: str, *arguments: str) -> None:
    try:
        call_command(command, *arguments)
    except CommandError as error:
        sys.exit(str(error))


def _once(name: str, function: Callable[[], object], output: Callable[[str], None] | None = None) -> Child:
    return Child(name, function, restart=Restart.NEVER, output=output)


def _start_valkey(supervisor: Supervisor) -> None:
    own = Path(settings.DATA) / "run" / "valkey.sock"
    if settings.REDIS_URL == f"unix://{own}":
        own.unlink(missing_ok=True)  # left by a server that was killed: the lock says that none runs
        output = partial(_tell_of_valkey, supervisor.say)
        supervisor.start(Child("valkey", program=valkey.command(own), last=True, output=output))
    answer = partial(valkey.wait, settings.REDIS_URL, seconds=VALKEY_SECONDS)
    supervisor.complete(_once("valkey-wait", answer), seconds=VALKEY_SECONDS + 5)


def _tell_of_valkey(say: Callable[[str, str], None], line: str) -> None:
    if not any(words in line for words in _VALKEY_CHATTER):
        say("valkey", line)


def _migrate() -> None:
    call_command("migrate", interactive=False, verbosity=0)
    try:
        key_proof.check()
    except keys.KeyProblem as problem:
        sys.exit(f"dodai: {problem}")


def _require_answers(options: Options) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    for address, path in zip(addresses(options), ("/", "/boot.ipxe", "/"), strict=True):
        status = listening.answer(address, path, deadline=deadline)
        if status is None:
            sys.exit(f"{address.name} did not answer on port {address.port} within {ANSWER_SECONDS} s")
        if status >= 500:
            sys.exit(f"{address.name} answered {path} with an error ({status}); the lines above say why")


def _tell_of_reach() -> None:
    """Beside the start, not in its way: a URL that leads nowhere is told loudly and stops nothing."""
    for site, problems in reach.check().items():
        for problem in problems:
            print(f"machines of {site.name}: {problem.words}")


def _first_password(supervisor: Supervisor) -> str | None:
    """Made last, so that a start that failed has not used it up; in a child, so that this process has no database."""
    lines: list[str] = []
    supervisor.complete(_once("first-user", _print_first_password, output=lines.append), seconds=60)
    return next((line.partition(" ")[2] for line in lines if line.startswith("password ")), None)


def _print_first_password() -> None:
    if password := first_user.create():
        print("password", password)
