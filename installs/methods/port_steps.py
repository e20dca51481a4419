"""Steps of install methods that move switch ports. Where the plan names no port there are none of them."""

from installs.methods.base import InstallMethod, Next, Outcome, Work
from installs.models import Install
from installs.ports import back, moving, which


class PortSteps(InstallMethod):
    """`set_ports` before the machine starts from the network, `join_vlan` at the end, once its OS has its keys.

    `restore_ports` instead leaves the ports where they were before.
    """

    def needs(self, step: str, install: Install) -> bool:
        return step not in ("set_ports", "join_vlan", "restore_ports") or bool(install.plan.get("ports"))

    def set_ports(self, work: Work) -> Outcome:
        """Its only card goes where machines boot from the network; others go where the machine belongs."""
        places = moving.places_of(work, which.BOOT)
        if not work.install.is_for_pool:
            home = moving.places_of(work, which.HOME)
            places |= {card: vlan for card, vlan in home.items() if not card.is_pxe}
        return moving.move(work, places) if places else Next()

    def join_vlan(self, work: Work) -> Outcome:
        """Of the pool it belongs to nobody yet."""
        return Next() if work.install.is_for_pool else moving.put(work, which.HOME)

    def restore_ports(self, work: Work) -> Outcome:
        places = back.places_before([work.install])
        return moving.move(work, places) if places else Next()
