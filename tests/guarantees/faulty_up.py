"""`manage.py up` with fault points at its boundaries and machines that are played. Arguments are those of `up`."""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def _open_doors() -> None:
    """Machines' SSH servers are where the test says, and a busy computer is no silence."""
    from installs.handover import doors, session

    told = Path(os.environ["DODAI_TEST_FAULTS"]) / "doors.json"
    doors.of = lambda install: [tuple(door) for door in json.loads(told.read_text())[install.machine.name]]
    session.CONNECT_SECONDS = session.OVERTIME_SECONDS = 60.0


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "dodaiweb.settings"
    from dodaiweb import options

    options.apply(["up", *sys.argv[1:]])
    import django

    django.setup()
    from dodaiweb import supervisor
    from machines.power import DRIVERS
    from tests.guarantees import faults
    from tests.guarantees.played import PlayedPower

    DRIVERS[PlayedPower.slug] = PlayedPower
    _open_doors()
    faults.place()
    (Path(os.environ[faults.FOLDER]) / "supervisor").write_text(str(os.getpid()))
    supervisor.STEADY_SECONDS = 0.0  # every kill is the first one: a fault a day, not one a second
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", "up", "--no-lab", *sys.argv[1:]])


if __name__ == "__main__":
    main()
