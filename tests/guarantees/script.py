"""What machines of a test do by themselves: they boot, run the ramdisk's script, and the installed OS calls."""

from collections.abc import Callable

from django.http import HttpResponse

from installs.models import Boot
from machines.power.base import BootDevice, Power
from tests.guarantees.hardware import Hardware, Kernel, Message, Os, call, new_boot_id

INSTALL = ("install", "fetch", "fetch", "grant", "partition", "copy", "copy", "bootloader", "install_reboot")
INSPECT = ("inspected",)
TOTAL_BYTES = 1000


def ask_boot(mac: str, *, spelled: Callable[[str], str] = str, loader: str = "ipxe") -> str:
    """What a network boot with this MAC leads to, as its boot loader reads it."""
    paths = {"ipxe": f"/boot.ipxe?mac={spelled(mac)}", "grub": f"/grub/{spelled(mac)}",
             "pxelinux": "/pxelinux.cfg/01-" + mac.replace(":", "-")}  # fmt: skip
    return call(paths[loader]).content.decode()


def boot(machine: Hardware, answer: str) -> None:
    """Start from the disk, or, where the network's answer says so, the ramdisk with its script."""
    machine.runs = _ramdisk(answer) or machine.disk


def next_message(machine: Hardware) -> Message | None:
    """What the machine says next; None when it has nothing to say."""
    match machine.runs:
        case Os(first_boot=path) as running if path and not machine.is_unheard:
            return Message(path, {}, "", lambda _answer: _os_was_heard(running), machine.disk_of)
        case Kernel() as kernel if kernel.stage < len(_words(kernel)):
            return _next_word(machine, kernel)
    return None


def is_on_network(machine: Hardware) -> bool:
    return machine.power == Power.ON and machine.runs is None and machine.device == BootDevice.NETWORK


def _ramdisk(answer: str) -> Kernel | None:
    if "dodai_script=" not in answer:
        return None
    token, boot_id = answer.partition("/script/")[2].split()[0].strip("'\""), new_boot_id()
    response = call(f"/script/{token}", body={"boot_id": boot_id}, form=True)
    if response.status_code != 200:
        return None
    script = response.content.decode()
    attempt = Boot.objects.values_list("install_id", flat=True).get(boot_id=boot_id)
    token = script.partition("Bearer %s\\n' ")[2].split()[0]
    return Kernel(boot_id, token, attempt, inspects="event/inspected" in script)


def _words(kernel: Kernel) -> tuple[str, ...]:
    return INSPECT if kernel.inspects else INSTALL


def _next_word(machine: Hardware, kernel: Kernel) -> Message:
    word, facts = _words(kernel)[kernel.stage], machine.facts | {"boot_id": kernel.boot_id}
    if word == "grant":
        body, path = facts | {"disk": facts["disks"][0]}, "/grant"
    elif word in ("install", "inspected", "install_reboot"):
        body, path = facts if word != "install_reboot" else {}, f"/event/{word}"
    else:
        kernel.copied_bytes = 0 if _words(kernel)[kernel.stage - 1] != word else kernel.copied_bytes + TOTAL_BYTES // 2
        body, path = {"phase": word, "done_bytes": kernel.copied_bytes, "total_bytes": TOTAL_BYTES}, "/event/progress"
    if kernel.may_write:
        machine.writers.setdefault(kernel.attempt, set()).add(kernel.boot_id)
    if word == "install_reboot":  # all is written and unmounted before it says so
        kernel.may_write, machine.disk, machine.disk_of = False, Os(kernel.first_boot, kernel.sign), kernel.attempt

    def said(answer: HttpResponse) -> None:
        _kernel_was_heard(kernel, word, answer)

    return Message(path, body, kernel.token, said, kernel.attempt, kernel.boot_id)


def _kernel_was_heard(kernel: Kernel, word: str, answer: HttpResponse) -> None:
    if answer.status_code != 200:
        kernel.stage, kernel.may_write = len(INSTALL), False
        return
    if word == "grant":
        words = answer.content.decode()
        if "DODAI_GRANTED=yes" not in words:
            kernel.stage = len(INSTALL)
            return
        kernel.may_write = True
        kernel.first_boot = "/first-boot/" + words.partition("/first-boot/")[2].split()[0].strip("'")
        kernel.sign = words.partition("DODAI_SIGN=")[2].split()[0].strip("'")
    kernel.stage += 1


def _os_was_heard(running: Os) -> None:
    running.first_boot = ""  # it deletes itself
