"""The next click after a failure, by its cause. Causes come from the engine and from templates/scripts."""

from dataclasses import dataclass, replace
from enum import StrEnum

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _


class Where(StrEnum):
    """The page that helps."""

    MACHINE = "machine"
    INVENTORY = "inventory"
    IMAGES = "images"
    NONE = ""


@dataclass(frozen=True)
class Advice:
    text: str
    where: Where = Where.NONE


OTHERWISE = Advice(_("Read the last lines, put right what they name, then retry."))
BY_CAUSE = {
    "bmc-refused": Advice(_("Check the BMC's address, user and password, then retry."), Where.INVENTORY),
    "bmc-silent": Advice(_("The BMC did not answer: check its cable and address, then retry."), Where.INVENTORY),
    "bug": Advice(_("This is a fault in Dodai: the log of the worker has the details. Retrying is safe.")),
    "busy": Advice(_("Old RAID and LVM did not let go of the disk: retry, which restarts the machine.")),
    "cancelled": Advice(_("Nothing more happens on this machine until somebody asks for it.")),
    "cannot-be-done": Advice(_("Put right what the operator wrote, then retry.")),
    "digest": Advice(_("The image's file is not the one in the catalogue: import the image again."), Where.IMAGES),
    "disk": Advice(_("Compare its disks with the inventory, inspect it again, choose the root disk."), Where.MACHINE),
    "fetch": Advice(_("The machine could not fetch the image: check its network to the image server, then retry.")),
    "hand-over": Advice(_("Its OS is installed anew for its next owner: nothing needs to be done."), Where.MACHINE),
    "identity": Advice(_("Another machine than in the inventory: compare serial, UUID and cards."), Where.MACHINE),
    "image": Advice(_("The image lacks what an install needs: make it again by the image contract."), Where.IMAGES),
    "no-first-boot": Advice(_("The disk is written, but its OS did not call: look at its console."), Where.MACHINE),
    "no-netboot": Advice(_("Check boot order, cable and DHCP (manage.py dhcp-config), then retry."), Where.MACHINE),
    "no-operator": Advice(_("Find somebody who can go there, tell them, then retry.")),
    "not-erased": Advice(
        _("Replace the disk that the error names, or mark the machine as repaired and erase again."), Where.MACHINE
    ),
    "own-host": Advice(_("Dodai itself runs there. If not, put right what the inventory says of it."), Where.INVENTORY),
    "plan": Advice(_("What was approved is no longer so: look at the new plan, and approve that."), Where.MACHINE),
    "port": Advice(_("Put right what it says of the switch, its lists or the cabling, then retry."), Where.INVENTORY),
    "power": Advice(_("The machine did not follow its BMC: check its power supply, then retry."), Where.MACHINE),
    "power-lost": Advice(_("The machine went off by itself: check its power, then retry."), Where.MACHINE),
    "protected": Advice(_("Take the protection off in the inventory if this install was wanted."), Where.INVENTORY),
    "site-refused": Advice(_("Ask who runs something there, and try it again once the site agrees.")),
    "wrong-host": Advice(_("Look who answers at its address: it is not the OS that was installed."), Where.MACHINE),
    "silent": Advice(_("Look at its console: the installer stopped speaking."), Where.MACHINE),
    "space": Advice(_("Choose smaller sizes for the image, or another root disk."), Where.IMAGES),
}  # fmt: skip


def advice_for(cause: str) -> Advice:
    advice = BY_CAUSE.get(cause, OTHERWISE)
    return replace(advice, text=gettext(advice.text))
