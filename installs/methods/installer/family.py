"""What the three installers share: their steps, and that nothing is given before the machine has shown itself."""

from datetime import timedelta
from typing import Any, ClassVar

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from installs import celled, scripts
from installs.methods.base import Again, BootKernel, NetworkBoot, Next, Outcome, StepFailed, WaitFor, Work
from installs.methods.installer import answers, source
from installs.methods.ramdisk import DiskMethod
from installs.models import Image, Install, SshKey
from machines.models import Disk, Machine

RUN_SILENCE = timedelta(minutes=10)  # the script that Dodai adds says something every 15 s; a hung kernel does not
RUN_MAY_TAKE = timedelta(hours=3)
SOURCE_TRIES = 4
LAST_BYTES_MAY_TAKE = timedelta(minutes=20)  # unmounting, the restart, and the first boot


class InstallerMethod(DiskMethod):
    """The installer restarts the machine itself: a reset would come in the middle of its last writes."""

    kinds = ("", "iso")
    steps = (
        "answers", "power_off", "set_ports", "set_boot", "power_on", "netboot", "run", "boot_from_disk", "first_boot",
        "join_vlan",
    )  # fmt: skip
    waits = {"netboot": "install", "run": "install_reboot", "first_boot": "installed"}
    phases = ("partition", "base", "packages")
    milestones = (
        ("answers", _("Preparing the answers")),
        ("power_off", _("Power off")),
        ("power_on", _("Power on")),
        ("netboot", _("Network boot")),
        ("install", _("Installer running")),
        ("partition", _("Partitioning the disk")),
        ("base", _("Base system")),
        ("packages", _("Packages")),
        ("install_reboot", _("Restart from disk")),
        ("first_boot", _("First boot of the OS")),
    )
    first_files: ClassVar[dict[str, str]]
    """What the installer fetches by itself: name -> template in templates/scripts/installer, "" for none."""

    def answers(self, work: Work) -> Outcome:
        """Reads the template where it is, and freezes what comes of it for this attempt. Nothing was touched yet."""
        install = work.install
        assert install.image
        try:
            made = answers.make(install.image, install.plan, install.machine, with_secrets=True)
        except source.NoSource as problem:
            return _later(work, problem)
        except celled.CellProblem as problem:
            words = f"The answer file of {install.image.name} cannot be used. {problem}"
            raise StepFailed(words, cause="answers") from None
        if made.problems:
            why = answers.in_words(made.problems)
            raise StepFailed(f"The answer file of {install.image.name} cannot be used. {why}", cause="answers")
        work.keep(answers_sealed=answers.sealed(made))
        return Next()

    def run_installer(self, work: Work) -> Outcome:
        return WaitFor(RUN_SILENCE, cap=RUN_MAY_TAKE)

    def run(self, step: str, work: Work) -> Outcome:
        return super().run("run_installer" if step == "run" else step, work)

    def first_boot(self, work: Work) -> Outcome:
        return WaitFor(LAST_BYTES_MAY_TAKE, cap=LAST_BYTES_MAY_TAKE)

    def kernel(self, plan: dict[str, Any], boot: NetworkBoot) -> BootKernel:
        settings = plan["image"]["metadata"]
        words = (*self.words(plan, boot), f"BOOTIF=01-{boot.mac.replace(':', '-')}", *settings["options"].split())
        consoles = [*plan["kernel_args"].split(), *plan["image_kernel_args"].split()]
        kernel, initrd = (_url(plan, settings[name]) for name in ("kernel", "initrd"))
        return BootKernel(kernel, initrd, (*words, *consoles))

    def words(self, plan: dict[str, Any], boot: NetworkBoot) -> tuple[str, ...]:
        """What tells the installer's kernel where its first file is."""
        raise NotImplementedError

    def script(self, plan: dict[str, Any]) -> str:
        return scripts.render(
            "installer/install.sh", server=plan["provision_url"], token=scripts.TOKEN_PLACEHOLDER, disk=plan["disk"]
        )

    def file(self, name: str, install: Install, boot: NetworkBoot) -> str | None:
        if name not in self.first_files:
            return None
        template = self.first_files[name]
        return scripts.render(f"installer/{template}", script_url=boot.script_url) if template else ""

    def problems(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        found = []
        if not image.metadata.get("kernel") or not image.metadata.get("initrd"):
            found.append(
                gettext("%(image)s does not say which kernel and initrd to boot: edit it.") % {"image": image.name}
            )
        for name in ("kernel", "initrd"):
            place = str(image.metadata.get(name, ""))
            if place and "://" not in place and not image.sha256:
                words = gettext("The %(file)s of %(image)s is a path in an ISO, and the image has no ISO: write a URL.")
                found.append(words % {"file": name, "image": image.name})
        if not image.metadata.get("place") and not str(image.metadata.get("answers", "")).strip():
            found.append(gettext("%(image)s has no answer file: edit it.") % {"image": image.name})
        if missing := answers.missing_secrets(image):
            words = gettext("%(image)s has no value for its secret variables %(names)s: edit it.")
            found.append(words % {"image": image.name, "names": ", ".join(missing)})
        return found

    def warnings(self, machine: Machine, image: Image, disk: Disk | None) -> list[str]:
        if SshKey.objects.exists():
            return []
        return [gettext("There is no SSH key: only who knows a password of the answer file can log in.")]


def _later(work: Work, problem: source.NoSource) -> Again:
    """Raises StepFailed where trying again is no use."""
    if not problem.again or work.install.tries >= SOURCE_TRIES:
        raise StepFailed(str(problem), cause="answers")
    work.install.tries += 1
    return Again(timedelta(seconds=2**work.install.tries))


def _url(plan: dict[str, Any], place: str) -> str:
    return place if "://" in place else f"{answers.tree(plan)['url']}/{place}"
