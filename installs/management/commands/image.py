"""Takes images in, lists them, lets them go."""

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from installs.images import contract_words, import_words, imports, stock
from installs.images.intake import add_image
from installs.images.kinds import ImageProblem
from installs.models import Image, ImageImport
from machines.management.looking_up import asker

LAYOUT = ("root", "swap", "ephemeral", "kdump")
LOOK_SECONDS = 1.0


class Command(BaseCommand):
    help = "Take in an image file (a file tree, a disk, an ISO), look at images and imports, retire or delete one."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="all images")
        add = verbs.add_parser("add", help="take in a file here and now")
        add.add_argument("file", type=Path)
        add.add_argument("--method", default="", help="which installs it, where several could (iscsi, disk-image)")
        add.add_argument("--unpacked-mib", type=int, default=0, metavar="MIB", help="what it takes on a disk")
        fetch = verbs.add_parser("import", help="have Dodai take in what a URL, or a path on the server, names")
        fetch.add_argument("location")
        for each in (add, fetch):
            _add_columns(each)
        debian = verbs.add_parser("debian", help="have Dodai build the image debian-12")
        for each in (fetch, debian):
            each.add_argument("--wait", action="store_true", help="print how it goes until it has ended")
        verbs.add_parser("imports", help="imports and how they went")
        verbs.add_parser("cancel", help="cancel an import").add_argument("number", type=int)
        for verb, words in {
            "show": "what is in an image", "retire": "no new installs of it", "delete": "if nobody has it",
        }.items():  # fmt: skip
            verbs.add_parser(verb, help=words).add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except (ImageProblem, imports.Refused, stock.InUse) as exc:
            raise CommandError(str(exc)) from exc

    def _list(self, options: dict[str, Any]) -> None:
        for image in stock.present():
            worked = f"{image.successes}/{image.attempts}" if image.attempts else "-"
            retired = "  retired" if image.retired_at else ""
            size_mib = image.size_bytes >> 20
            self.stdout.write(
                f"{image.name:<24} {image.kind:<8} {size_mib:>7} MiB  {worked:>7}  {image.sha256}{retired}"
            )

    def _add(self, options: dict[str, Any]) -> None:
        image = add_image(
            options["file"], name=options["name"], sha256=options["sha256"], imported_by=asker(),
            unpacked_bytes=options["unpacked_mib"] << 20 or None, source=options["file"].name[:255],
            say=self.stdout.write, method=options["method"], **_columns(options),
        )  # fmt: skip
        self.stdout.write(f"image {image.name}: {image.kind}, SHA-256 {image.sha256}")
        self._warn(image)

    def _import(self, options: dict[str, Any]) -> None:
        ask = imports.ask_url if "://" in options["location"] else imports.ask_path
        asked = ask(options["name"], options["location"], by=asker(), sha256=options["sha256"], **_columns(options))
        self._follow(asked, wait=options["wait"])

    def _debian(self, options: dict[str, Any]) -> None:
        self._follow(imports.ask_debian(by=asker()), wait=options["wait"])

    def _follow(self, asked: ImageImport, *, wait: bool) -> None:
        self.stdout.write(f"import {asked.pk} of {asked.name}: asked; a running Dodai does it")
        said = ""
        while wait and asked.is_live:
            time.sleep(LOOK_SECONDS)
            asked.refresh_from_db()
            if (words := _line(asked)) != said:
                said = words
                self.stdout.write(words)
        if asked.state in (ImageImport.State.FAILED, ImageImport.State.CANCELLED):
            raise CommandError(asked.error or f"cancelled by {asked.cancelled_by}")

    def _imports(self, options: dict[str, Any]) -> None:
        for each in ImageImport.objects.all()[:50]:
            self.stdout.write(_line(each))

    def _cancel(self, options: dict[str, Any]) -> None:
        wanted = ImageImport.objects.filter(pk=options["number"]).first()
        if wanted is None:
            raise CommandError(f"there is no import {options['number']}; `image imports` lists them")
        imports.cancel(wanted, by=asker())

    def _show(self, options: dict[str, Any]) -> None:
        image = _named(options["name"])
        report = image.report
        self.stdout.write(f"{image.name}: {report.get('os_name') or 'does not say what it is'}, SHA-256 {image.sha256}")
        for kernel in report.get("kernels", []):
            self.stdout.write(f"kernel {kernel['release']}, {kernel['initrd'] or 'no initrd'}")
        self._warn(image)

    def _warn(self, image: Image) -> None:
        for code in image.report.get("warnings", []):
            self.stdout.write(f"note: {contract_words.words(code)}")

    def _retire(self, options: dict[str, Any]) -> None:
        stock.retire(_named(options["name"]))

    def _delete(self, options: dict[str, Any]) -> None:
        stock.delete(_named(options["name"]), by=asker())


def _add_columns(parser: CommandParser) -> None:
    parser.add_argument("--name", required=True)
    parser.add_argument("--sha256", default="", help="what the publisher says it is")
    for part in (*LAYOUT, "min-memory"):
        parser.add_argument(f"--{part}-mib", type=int, default=0, metavar="MIB")
    parser.add_argument("--kernel-args", default="")


def _columns(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in (*imports.NUMBERS, "kernel_args")}


def _named(name: str) -> Image:
    image = Image.objects.present().filter(name=name).first()
    if image is None:
        raise CommandError(f"there is no image {name!r}; `image list` lists them")
    return image


def _line(row: ImageImport) -> str:
    words = import_words.words_for(row)
    parts = [f"{row.pk:>4}  {row.name:<24}", words.headline, words.progress, row.error]
    return "  ".join(part for part in parts if part)
