"""How long an import of many machines takes: seconds, queries and peak memory, new and again, as CSV and YAML.

python tests/bench/inventory_import.py --machines 10000
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["DODAI_DATA"] = tempfile.mkdtemp(prefix="dodai-bench-")
os.environ["DJANGO_SETTINGS_MODULE"] = "dodaiweb.settings"


def rows(count: int) -> str:
    """Each with a BMC, a password, two cabled cards and a root disk."""
    lines = [
        "name,rack,unit,serial,bmc_host,bmc_username,bmc_password,mac_1,switch_1,switch_port_1,mac_2,disk_1,disk_root_1"
    ]
    for n in range(count):
        tail = f"{n // 65536:02x}:{n // 256 % 256:02x}:{n % 256:02x}"
        lines.append(
            f"node-{n:05},R{n // 40},{n % 40 + 1},SN{n:06},10.{n // 65536}.{n // 256 % 256}.{n % 256},root,secret-{n},"
            f"52:54:00:{tail},tor-{n // 40},1/{n % 40},52:54:01:{tail},DISK{n:06},yes"
        )
    return "\n".join(lines) + "\n"


def measure(what: str, work: Callable[[], object]) -> None:
    from django.db import connection, reset_queries

    reset_queries()
    began, cpu_began = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{what}: {seconds:.1f} s ({cpu:.1f} s CPU), {len(connection.queries)} queries, peak {peak} MiB: {result}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=10_000)
    count = parser.parse_args().machines
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from machines import inventory
    from machines.acting import Actor, acting

    call_command("migrate", verbosity=0)
    connection.force_debug_cursor = True
    connection.queries_log.clear()
    connection.queries_limit = 1_000_000
    text = rows(count)
    with acting(lambda: Actor("bench")):
        measure("preview", lambda: len(inventory.make_plan(inventory.read(text, "a.csv")).new))
        measure("import, new", lambda: inventory.import_text(text, "a.csv"))
        measure("import, the same", lambda: inventory.import_text(text, "a.csv"))
        changed = text.replace(",R", ",Q")
        measure("import, a field of each changed", lambda: inventory.import_text(changed, "a.csv"))
        measure("export, YAML", lambda: len(inventory.export_yaml()))
        document = inventory.export_yaml()
        measure("import, YAML, the same", lambda: inventory.import_text(document, "a.yaml"))


if __name__ == "__main__":
    main()
