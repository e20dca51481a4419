"""Network drivers. To add one: write a module here and name its class below."""

from machines.network.base import NetworkDriver, NetworkRefused, SwitchEndpoint, SwitchPort
from machines.network.fake import FakeNetwork
from machines.network.lab import LabNetwork
from machines.network.manual import ManualNetwork
from machines.network.netmiko import NetmikoNetwork
from machines.network.ofc import OfcNetwork
from machines.network.openvswitch import OpenVSwitchNetwork

__all__ = ["DRIVERS", "NetworkDriver", "NetworkRefused", "SwitchEndpoint", "SwitchPort", "driver_for"]

DRIVERS: dict[str, type[NetworkDriver]] = {
    driver.slug: driver
    for driver in (NetmikoNetwork, OpenVSwitchNetwork, OfcNetwork, ManualNetwork, LabNetwork, FakeNetwork)
}


def driver_for(endpoint: SwitchEndpoint) -> NetworkDriver:
    """The driver of one switch. Raises NetworkRefused when it has no such driver or a setting is missing."""
    driver = DRIVERS.get(endpoint.driver)
    if driver is None:
        raise NetworkRefused(f"{endpoint}: there is no network driver {endpoint.driver!r}, choose one of "
                             f"{', '.join(DRIVERS)}")  # fmt: skip
    made = driver(endpoint)
    for setting in driver.settings:
        made.setting(setting.name)
    return made
