"""Memory of all processes of `up` without the lab, as PSS. The aim: 350 MB or less.

python3 tests/bench/memory.py [RUNS]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.real_up import Up, comm, descendants, pss_bytes

AIM_BYTES = 350_000_000
SETTLE_SECONDS = 5


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    median = statistics.median(_measure(number) for number in range(1, runs + 1))
    print(f"median of {runs}: {median / 1e6:.0f} MB (aim: {AIM_BYTES / 1e6:.0f} MB or less)")
    sys.exit(median > AIM_BYTES)


def _measure(number: int) -> int:
    with tempfile.TemporaryDirectory() as folder, Up(Path(folder, "data")) as up:
        up.wait_ready()
        time.sleep(SETTLE_SECONDS)
        sizes = [(comm(pid), pss_bytes(pid)) for pid in descendants(up.process.pid)]
        up.stop()
    parts = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in sizes)
    total = sum(size for _, size in sizes)
    print(f"run {number}: {total / 1e6:.0f} MB ({parts})", flush=True)
    return total


if __name__ == "__main__":
    main()
