"""Takes an image in, or lists the images."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs.images import ImageProblem, add_image
from installs.models import Image


class Command(BaseCommand):
    help = "Add an image file (ext4, or tar packed by zstd), or list the images."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list")
        add = verbs.add_parser("add")
        add.add_argument("file", type=Path)
        add.add_argument("--name", required=True)
        add.add_argument("--sha256", default="", help="what the publisher says it is")
        for part in ("unpacked", "root", "swap", "ephemeral", "kdump"):
            add.add_argument(f"--{part}-mib", type=int, default=0, metavar="MIB")
        add.add_argument("--min-memory-mib", type=int, default=0, metavar="MIB")
        add.add_argument("--kernel-args", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            for image in Image.objects.all():
                self.stdout.write(f"{image.name:<24} {image.kind:<8} {image.size_bytes >> 20:>7} MiB  {image.sha256}")
            return
        columns = ("root_mib", "swap_mib", "ephemeral_mib", "kdump_mib", "min_memory_mib", "kernel_args")
        try:
            image = add_image(
                options["file"], name=options["name"], sha256=options["sha256"],
                unpacked_bytes=options["unpacked_mib"] << 20 or None, say=self.stdout.write,
                **{column: options[column] for column in columns},
            )  # fmt: skip
        except ImageProblem as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"image {image.name}: {image.kind}, SHA-256 {image.sha256}")
