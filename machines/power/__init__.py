"""Power drivers. To add one: write a module here and name its class below."""

from machines.power.base import BmcEndpoint, PowerDriver, PowerRefused
from machines.power.fake import FakePower
from machines.power.ipmi import IpmiPower
from machines.power.manual import ManualPower
from machines.power.redfish import RedfishPower

__all__ = ["DRIVERS", "BmcEndpoint", "PowerDriver", "PowerRefused", "driver_for"]

DRIVERS: dict[str, type[PowerDriver]] = {
    driver.slug: driver for driver in (IpmiPower, RedfishPower, ManualPower, FakePower)
}


def driver_for(endpoint: BmcEndpoint) -> PowerDriver:
    """The driver of one BMC. Raises PowerRefused when it has no such driver or no address."""
    driver = DRIVERS.get(endpoint.driver)
    if driver is None:
        raise PowerRefused(
            f"{endpoint.machine}: there is no power driver {endpoint.driver!r}, choose one of {', '.join(DRIVERS)}"
        )
    if driver.needs_address and not endpoint.host:
        raise PowerRefused(f"{endpoint.machine} has no BMC address: enter it in the inventory")
    return driver(endpoint)
