"""Drives for the script of the method erase: files, and programs that do with them what they are told to."""

import json
import os
import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

from installs import scripts
from installs.erasing import planned, report
from tests.test_scripts import bash

MIB = 1 << 20
SIZE = 3 * MIB + 5 * 512
FORMAT, CRYPTO, BLOCK = 2, 1, 2  # bits of OACS and SANICAP
EMPTY = 'size=$(stat -c %s "$2"); truncate -s 0 "$2"; truncate -s "$size" "$2"'
ONES = 'size=$(stat -c %s "$2"); head -c "$size" /dev/zero | tr "\\0" "\\377" >"$2"'
NOISE = 'size=$(stat -c %s "$2"); head -c "$size" /dev/urandom >"$2"'
HALF = 'dd if=/dev/zero of="$2" bs=1M count=1 conv=notrunc status=none'
NOTHING, FAILS, GOES = ":", "echo 'it is broken' >&2; exit 1", 'rm "$2"'
SHRINKS = 'truncate -s 0 "$2"; truncate -s 1M "$2"'
SECURITY = """
ATA device, with non-removable media
Security:
\tMaster password revision code = 65534
\t\tsupported
\t{enabled}
\tnot\tlocked
\t{frozen}
\tnot\texpired: security count
\t\tsupported: enhanced erase
\t2min for SECURITY ERASE UNIT. 2min for ENHANCED SECURITY ERASE UNIT.
Logical Unit WWN Device Identifier: 5000c500a1b2c3d4
"""


@dataclass
class Room:
    """Drives, what is done by their programs, and what is reported of them."""

    folder: Path
    plan: dict[str, list] = field(default_factory=lambda: {"disks": [], "samples": []})

    def drive(self, name: str, size: int = SIZE, *, seed: int = 1) -> Path:
        path = self.folder / "dev" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(random.Random(seed).randbytes(min(size, SIZE)))
        os.truncate(path, size)
        self.plan["disks"].append({"serial": f"SN {name}", "wwn": "", "size_bytes": size})
        self.plan["samples"].append(planned.places(size))
        return path

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "$0 $*" >>{self.folder}/called\n{text}\n')
        path.chmod(0o755)

    def nvme(self, *, oacs: int = 0, sanicap: int = 0, fna: int = 0, status: int = 1, **does: str) -> None:
        """A program that shows these offers; `does` is what it makes of `sanitize` and `format`."""
        identity = bytearray(4096)
        struct.pack_into("<H", identity, 256, oacs)
        struct.pack_into("<I", identity, 328, sanicap)
        identity[524] = fna
        (self.folder / "identity").write_bytes(identity)
        (self.folder / "log").write_bytes(struct.pack("<HH16x", 65535, status))
        cases = "\n".join(f"{name}) {text} ;;" for name, text in does.items())
        shown = f"id-ctrl) cat {self.folder}/identity ;;\nget-log) cat {self.folder}/log ;;"
        self.program("nvme", f"case $1 in\n{shown}\n{cases}\n*) exit 1 ;;\nesac")

    def ata(self, erase: str, *, enabled: str = "not\tenabled", frozen: str = "not\tfrozen") -> None:
        (self.folder / "security").write_text(SECURITY.format(enabled=enabled, frozen=frozen))
        erase = erase.replace('"$2"', '"${!#}"')
        self.program(
            "hdparm",
            f"""case $* in
            -I*) cat {self.folder}/security ;;
            *--security-disable*) sed -i 's/^\\tenabled/\\tnot\\tenabled/' {self.folder}/security ;;
            *--security-erase*) {erase} ;;
            esac""",
        )

    @property
    def called(self) -> str:
        path = self.folder / "called"
        return path.read_text() if path.exists() else ""

    def run(self, *, discards: bool = False) -> list[report.Judged]:
        """By the script's own functions. Only what the kernel says of disks is played, and dd's way to the platter."""
        lines = "\n".join(
            f"{disk['serial']}\t{disk['wwn']}\t{disk['size_bytes']}\t{' '.join(map(str, places))}"
            for disk, places in zip(self.plan["disks"], self.plan["samples"], strict=True)
        )
        (self.folder / "planned").write_text(lines)
        text = "\n".join(scripts.render(f"erase/{name}.sh") for name in ("samples", "drives", "disks"))
        text = text.replace("readonly CHUNK=$((256 * MIB))", "readonly CHUNK=$MIB")
        program = self.folder / "program"
        program.write_text(f"""set -Eeuo pipefail
            WORK={self.folder}/work; LOG=$WORK/log; mkdir -p $WORK; PATH={self.folder}/bin:$PATH
            SAMPLE_BYTES={planned.SAMPLE_BYTES}; PLANNED_DISKS=$(<{self.folder}/planned)
            say() {{ :; }}; fail() {{ echo "FAIL $*"; exit 3; }}; uptime_hundredths() {{ REPLY=100; }}
            list_disks() {{ for path in {self.folder}/dev/*; do [[ ! -e $path ]] ||
                printf '%s\\tSN %s\\t\\t%s\\tmodel\\t0\\t0\\n' "$path" "${{path##*/}}" "$(stat -c %s "$path")"; done; }}
            {scripts.render("disk.sh")}
            {text}
            dd() {{ set -- "${{@//,direct/}}"; command dd "${{@//,fsync/}}"; }}
            queue_says() {{ echo {int(discards)}; }}
            LOOK_SECONDS=0
            list_disks >$WORK/disks.tsv
            choose_disks
            each_disk mark_disk
            each_disk erase_disk
            report_disks""")
        done = bash(f"bash {program} 2>&1", check=False)
        assert done.returncode == 0, done.stdout
        self.told = json.loads((self.folder / "work/deleted.json").read_text())
        return report.judge(self.plan, self.told)

    def one(self, *, discards: bool = False) -> report.Judged:
        (judged,) = self.run(discards=discards)
        return judged


def is_empty(path: Path) -> bool:
    return not path.read_bytes().strip(b"\0")
