"""The stream of a disk image against a bare `zstd -d` with the same flags, on the same disk, in the same guest.

python3 tests/bench/stream.py [--runs N] [--mib N] --data DIR

DIR has a ramdisk for practice servers (`manage.py ramdisk build lab`) and keeps the image. The guest fetches the image
over HTTP, checks its digest, unpacks and writes it as an install does (`stream`). Then it does no more than
`curl | zstd -d >disk; sync` with the same flags, from the same server to the same disk (`bare`); and, to see what the
network takes of that, the same from a file in memory (`memory`). By turns, N times, and the first turn is not counted.
The aim: the stream takes at most 1.2 times the bare one. Where other programs want the processors too, they vary:
look at the median, and at the load that is printed.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dodaiweb.settings")
AIM = 1.2
MIB = 1 << 20
DISK_GIB = 4
GUEST_SECONDS = 1800
SERVER = "10.0.2.100:80"
SCRIPTS = ("facts.sh", "disk.sh", "disk_image/place.sh", "disk_image/stream.sh")
SCRIPT = """#!/bin/bash
set -Eeuo pipefail
WORK=/run/bench LOG=/run/bench/log; mkdir -p $WORK; : >$LOG
exec 2>>$LOG
readonly DISK=/dev/vda PART=/dev/vda RETRY_SECONDS=60 PLANNED_SERIAL= PLANNED_WWN= SAMPLES= SAMPLE_BYTES=65536
readonly IMAGE_URL=http://{server}/image IMAGE_SHA256={sha256} IMAGE_BYTES={size} IMAGE_UNPACKED_BYTES={unpacked}
readonly IMAGE_NAME=bench IMAGE_KIND=raw.zst
cause=; phase=; say() {{ echo "$*"; }}
fail() {{ echo "$*" >>$LOG; curl -s --data-binary "$*" http://{server}/failed; exit 1; }}
trap 'curl -s --data-binary @$LOG http://{server}/failed; exit 1' ERR
{functions}
uptime_hundredths() {{ read -r uptime _ </proc/uptime; echo $((10#${{uptime/./}})); }}
timed() {{
    local before after
    sync; echo 3 >/proc/sys/vm/drop_caches
    before=$(uptime_hundredths); "${{@:2}}"; after=$(uptime_hundredths)
    echo "$1 $((after - before))" >>$WORK/times
}}
# The image in memory: what it takes to get it is no part of the bare run.
fetch() {{ mkdir -p /mnt/image; mount -t tmpfs tmpfs /mnt/image; curl -s -o /mnt/image/image "$IMAGE_URL"; }}
bare() {{ curl --silent "$IMAGE_URL" | zstd --decompress --stdout --quiet >"$DISK"; sync; }}
memory() {{ zstd --decompress --stdout --quiet /mnt/image/image >"$DISK"; sync; }}
fetch
for run in {runs}; do
    rm -f $WORK/dd $WORK/writer
    timed clear clear_disk
    timed stream write_image
    timed bare bare
    timed memory memory
done
curl -s --data-binary @$WORK/times http://{server}/times
sleep 1
poweroff -f
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    image = _image(options.data / f"bench-{options.mib}.raw.zst", options.mib)
    ramdisk = max((options.data / "ramdisk").glob("lab-*"), key=lambda path: path.stat().st_mtime)
    said = _run(ramdisk, image, options.mib * MIB, options.runs + 1)
    times: dict[str, list[float]] = {}
    for line in said.splitlines():
        name, hundredths = line.split()
        times.setdefault(name, []).append(int(hundredths) / 100)
    times = {name: seconds[1:] for name, seconds in times.items()}
    for name, seconds in times.items():
        print(f"{name:<8} median {statistics.median(seconds):6.2f} s of {json.dumps(seconds)}")
    ratio = statistics.median(a / b for a, b in zip(times["stream"], times["bare"], strict=True))
    print(f"stream / bare: {ratio:.2f} (aim: {AIM}), {image.stat().st_size / MIB:.0f} MiB packed, "
          f"{options.mib} MiB on the disk, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    sys.exit(ratio > AIM)


def _image(path: Path, mib: int) -> Path:
    """As full as the disk of a system is: programs of this computer, some noise, and a third of zeros."""
    import zstandard

    if path.exists():
        return path
    programs = sorted(each for each in Path("/usr/lib/x86_64-linux-gnu").glob("*.so*") if each.is_file())
    sources = b"".join(each.read_bytes() for each in programs)[: 256 * MIB] or random.randbytes(MIB)
    new, luck = path.with_suffix(".new"), random.Random(1)
    with new.open("wb") as file, zstandard.ZstdCompressor(level=9).stream_writer(file, size=mib * MIB) as sink:
        for number in range(mib):
            at = number * MIB % max(len(sources) - MIB, 1)
            piece = bytes(MIB) if number % 3 == 2 else sources[at : at + MIB - 20_000] + luck.randbytes(20_000)
            sink.write(piece.ljust(MIB, b"\0"))
    new.rename(path)
    return path


def _run(ramdisk: Path, image: Path, unpacked: int, runs: int) -> str:
    """What the guest has measured. Raises SystemExit with its words when it could not."""
    import django

    django.setup()
    from installs import scripts
    from lab import qemu

    functions = "\n".join(scripts.render(name) for name in SCRIPTS)
    content = image.read_bytes()
    script = SCRIPT.format(
        server=SERVER, sha256=hashlib.sha256(content).hexdigest(), size=len(content), unpacked=unpacked,
        functions=functions, runs=" ".join(map(str, range(runs))),
    )  # fmt: skip
    said: dict[str, str] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script.encode(), content, said))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder, "disk.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, f"{DISK_GIB}G"], check=True, timeout=60)
        forward = f"guestfwd=tcp:{SERVER}-cmd:socat - TCP:127.0.0.1:{server.server_port}"
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", *qemu.processor("tcg"),
            "-m", "1024", "-kernel", ramdisk / "vmlinuz", "-initrd", ramdisk / "initrd",
            "-append", f"no_timer_check console=ttyS0 panic=10 dodai_script=http://{SERVER}/script",
            "-serial", f"file:{folder}/console",
            "-netdev", f"user,id=n0,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=n0,romfile=",
            "-drive", f"if=none,id=d0,format=qcow2,cache=unsafe,discard=unmap,file={disk}",
            "-device", "virtio-blk-pci,drive=d0", "-object", "rng-random,id=r,filename=/dev/urandom",
            "-device", "virtio-rng-pci,rng=r", "-no-reboot",
        ]  # fmt: skip
        guest = subprocess.Popen(command)
        try:
            guest.wait(GUEST_SECONDS)
        except subprocess.TimeoutExpired:
            guest.kill()
        finally:
            server.shutdown()
        if "times" not in said:
            sys.exit(said.get("failed", "") + Path(folder, "console").read_text(errors="replace")[-3000:])
    return said["times"]


def _handler(script: bytes, content: bytes, said: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(content)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
            said[self.path.strip("/")] = body
            self._answer(script if self.path == "/script" else b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    return Handler


if __name__ == "__main__":
    main()
