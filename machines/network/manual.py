"""Switches that Dodai cannot reach: a person moves the cable or the port, and says so."""

from machines.network.base import NO_VLAN, NeedsOperator, NetworkDriver, SwitchPort


class ManualNetwork(NetworkDriver):
    """A port is where the last person said it is. What is not yet so raises NeedsOperator, with what to do."""

    slug = "manual"
    label = "By hand (an operator moves ports)"
    can_be_read = False
    can_detach = True

    def read(self, port: SwitchPort) -> int | None:
        return port.told

    def attach(self, port: SwitchPort, vlan: int) -> None:
        if port.told != vlan:
            raise NeedsOperator(f"{port}: put it into VLAN {vlan} by hand")

    def detach(self, port: SwitchPort) -> None:
        if port.told is not NO_VLAN:
            raise NeedsOperator(f"{port}: take it out of every VLAN by hand")
