"""Seconds from `manage.py up` to its line `ready:`, once set up. The aim: 6 s or less.

python3 tests/bench/startup.py [RUNS]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.real_up import Up

AIM_SECONDS = 6.0


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        print(f"first start, with an empty data folder: {_measure(data):.2f} s", flush=True)
        seconds = [_measure(data) for _ in range(runs)]
    print("later starts: " + ", ".join(f"{each:.2f}" for each in seconds) + " s")
    median = statistics.median(seconds)
    print(f"median of {runs}: {median:.2f} s (aim: {AIM_SECONDS:.0f} s or less)")
    sys.exit(median > AIM_SECONDS)


def _measure(data: Path) -> float:
    with Up(data) as up:
        up.wait_ready()
        seconds = time.monotonic() - up.started
        up.stop()
    return seconds


if __name__ == "__main__":
    main()
