"""The options of `up`, known before Django is: they decide the environment that the settings read.

Standard library only.
"""

import argparse
import atexit
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dodaiweb import folder

ROOT = Path(__file__).resolve().parent.parent
WILDCARDS = {"", "0.0.0.0", "::", "*"}  # noqa: S104 - compared with, not bound


@dataclass(frozen=True)
class Options:
    """Where everything listens, and how much of it there is."""

    host: str
    port: int
    provision_host: str
    provision_port: int
    data: Path
    lab: int
    workers: int
    debian: bool

    @property
    def image_port(self) -> int:
        return self.provision_port + 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `up` on `parser`."""
    parser.add_argument("--host", default="127.0.0.1", help="address that the pages listen on (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8000, help="port of the pages (8000)")
    parser.add_argument("--provision-host", default="127.0.0.1", help="address that machines reach (127.0.0.1)")
    parser.add_argument(
        "--provision-port", type=_port, default=8001, help="port of the provisioning listener; images are on the next"
    )
    parser.add_argument("--data", type=Path, default=_default_data(), help="folder of everything that is kept (var)")
    lab = parser.add_mutually_exclusive_group()
    lab.add_argument("--lab", type=_count, default=3, metavar="N", help="how many practice servers (3)")
    lab.add_argument("--no-lab", dest="lab", action="store_const", const=0, help="no practice servers")
    parser.add_argument(
        "--no-debian", dest="debian", action="store_false", help="do not build the image debian-12 beside the lab"
    )
    parser.add_argument("--workers", type=_positive, default=2, help="how many workers (2)")


def add_listener(parser: argparse.ArgumentParser, *, port: int) -> None:
    """Declare the options of a command that only listens."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=port, help=f"port to listen on ({port})")


def parse(arguments: Sequence[str]) -> Options:
    """The options in `arguments`; what `up` does not know is left to Django."""
    parser = argparse.ArgumentParser(prog="manage.py up", add_help=False)
    add_arguments(parser)
    return of(vars(parser.parse_known_args(arguments)[0]))


def of(values: dict[str, object]) -> Options:
    """The options out of a parser's result."""
    known = {name: values[name] for name in Options.__dataclass_fields__}
    data = Path(os.path.abspath(Path(str(known.pop("data"))).expanduser()))
    return Options(data=data, **known)  # type: ignore[arg-type]


def apply(arguments: Sequence[str]) -> None:
    """Before the settings are read for `manage.py ARGUMENTS`: make the data folder and set what they read."""
    match arguments[:1]:
        case ["up"]:
            _apply_up(arguments)
        case ["test"]:
            data = tempfile.mkdtemp(prefix="dodai-checks-")  # tests touch no data of a Dodai that runs from here
            atexit.register(shutil.rmtree, data, ignore_errors=True)
            os.environ["DODAI_DATA"] = data


def environment(chosen: Options, given: Mapping[str, str]) -> dict[str, str]:
    """The variables that the settings read, from the options; what the operator has `given` stands."""
    address = advertised_address(chosen.provision_host)
    page = advertised_address(chosen.host)
    given_names = [name for name in given.get("DODAI_ALLOWED_HOSTS", "").split(",") if name]
    # On this computer the pages always open: `up` itself asks them there whether they answer.
    names = ["localhost", "127.0.0.1", "[::1]", page, *(given_names or [socket.gethostname().lower()])]
    derived = {
        "DODAI_PROVISION_URL": f"http://{address}:{chosen.provision_port}",
        "DODAI_IMAGE_URL": f"http://{address}:{chosen.image_port}",
        "DODAI_PAGES_URL": f"http://{page}:{chosen.port}",
    }
    kept = {name: given.get(name) or value for name, value in derived.items()}
    return {"DODAI_DATA": str(chosen.data), **kept, "DODAI_ALLOWED_HOSTS": ",".join(dict.fromkeys(names))}


def advertised_address(host: str) -> str:
    """The address that machines are told for a listener on `host`, in the form that a URL wants."""
    if host in WILDCARDS:
        host = _outward_address()
    return f"[{host}]" if ":" in host else host


def _apply_up(arguments: Sequence[str]) -> None:
    chosen = parse(arguments[1:])
    os.umask(0o077)
    try:
        folder.prepare(chosen.data)
    except folder.FolderProblem as problem:
        sys.exit(str(problem))
    os.environ.update(environment(chosen, os.environ))


def _outward_address() -> str:
    """The address of the interface with the default route; loopback if there is none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): connecting a UDP socket only picks the route
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _default_data() -> Path:
    return Path(os.environ.get("DODAI_DATA") or ROOT / "var")


def _port(text: str) -> int:
    return _between(text, 1, 65534)


def _positive(text: str) -> int:
    return _between(text, 1, 256)


def _count(text: str) -> int:
    return _between(text, 0, 50)


def _between(text: str, low: int, high: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
    return number
