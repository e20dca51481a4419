"""Redfish over HTTPS: power and boot device of a ComputerSystem (DSP2046), as real BMCs have it.

They differ in what they take, and say so: every value sent is one that the BMC itself lists, where it lists them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from machines.power.base import BootDevice, Power, PowerDriver, PowerError, PowerRefused
from machines.power.child import call_in_child
from machines.power.redfish_client import Body, RedfishClient, Resource, link, link_of

ALLOWED = "@Redfish.AllowableValues"
MOST_SYSTEMS = 64
RESET = "#ComputerSystem.Reset"
# While it is still going on or off, what was switched may yet write to its disk: that is on.
POWER = {"On": Power.ON, "PoweringOn": Power.ON, "PoweringOff": Power.ON, "Paused": Power.ON, "Off": Power.OFF}
START, CUT = ("On", "ForceOn", "PushPowerButton"), ("ForceOff",)
SHUT_DOWN, RESTART = ("GracefulShutdown", "PushPowerButton"), ("ForceRestart", "PowerCycle")
TARGETS = {BootDevice.NETWORK: "Pxe", BootDevice.DISK: "Hdd", BootDevice.DEFAULT: "None"}

Call = Callable[[RedfishClient, Resource], Any]


class RedfishPower(PowerDriver):
    slug = "redfish"
    label = "Redfish"
    default_port = 443

    def state(self) -> Power:
        power: Power = self._with_system(_power)
        return power

    def on(self) -> None:
        self._with_system(partial(_switch, ways=START, unless=Power.ON))

    def off(self) -> None:
        self._with_system(partial(_switch, ways=CUT, unless=Power.OFF))

    def soft_off(self) -> None:
        self._with_system(partial(_switch, ways=SHUT_DOWN, unless=Power.OFF))

    def reset(self) -> None:
        self._with_system(self._reset)

    def boot_from(self, device: BootDevice, *, persistent: bool = False) -> None:
        self._with_system(partial(_set_boot, device=device, persistent=persistent, uefi=self.endpoint.uefi))

    def boot_device(self) -> BootDevice | None:
        device: BootDevice | None = self._with_system(_boot_device)
        return device

    def describe(self) -> Body:
        """What a test wants to know: `system`, `manager` and `role` as the BMC tells them, all of it untrusted."""
        description: Body = self._with_system(_describe)
        return description

    def _reset(self, client: RedfishClient, system: Resource) -> None:
        if _power(client, system) == Power.OFF:
            raise PowerRefused(f"{self.endpoint} cannot reset a machine that is off, its power state is off")
        _switch(client, system, ways=RESTART)

    def _with_system(self, call: Call) -> Any:
        return call_in_child(partial(self._logged_in, call), whom=str(self.endpoint))

    def _logged_in(self, call: Call) -> Any:
        """In the child, so that not even a name server that hangs holds up more than this call."""
        with RedfishClient(self.endpoint) as client:
            return call(client, _system(client, self.endpoint.system_id, str(self.endpoint)))


def _system(client: RedfishClient, wanted: str, whom: str) -> Resource:
    """The system with this id, or the only one. Raises PowerRefused when that is not clear."""
    collection = link(client.root.body, "Systems")
    if not collection:
        raise PowerRefused(f"{whom} has no systems in its Redfish service: is it the BMC of an enclosure?")
    members = client.get(collection).body.get("Members")
    paths = [link(link_of(member)) for member in (members if isinstance(members, list) else [])[:MOST_SYSTEMS]]
    by_id = {path.rstrip("/").rpartition("/")[2]: path for path in paths if path}
    if wanted and wanted not in by_id:
        raise PowerRefused(f"{whom} has no system {wanted!r}, it has {_listed(by_id)}: correct the system id")
    if not wanted and len(by_id) != 1:
        raise PowerRefused(f"{whom} has {len(by_id)} systems ({_listed(by_id)}): enter which one as its system id")
    return client.get(by_id[wanted or next(iter(by_id))])


def _listed(names: Sequence[str] | dict[str, str]) -> str:
    return ", ".join(names)[:200] or "none"


def _power(client: RedfishClient, system: Resource) -> Power:
    state = system.body.get("PowerState")
    return POWER.get(state, Power.UNKNOWN) if isinstance(state, str) else Power.UNKNOWN


def _switch(client: RedfishClient, system: Resource, *, ways: Sequence[str], unless: Power | None = None) -> None:
    """Send the first way that the BMC takes. One that is as wanted already is left alone: many BMCs refuse that."""
    power = _power(client, system)
    if unless is not None and power == unless:
        return
    if power == Power.UNKNOWN:
        ways = [way for way in ways if way != "PushPowerButton"]  # it would switch off what is on
    action = link_of(link_of(system.body.get("Actions")).get(RESET))
    target = action.get("target")
    if not isinstance(target, str):
        target = f"{system.path.rstrip('/')}/Actions/ComputerSystem.Reset"
    allowed = _allowed_resets(client, action)
    way = next((way for way in ways if way in allowed), None) if allowed else ways[0]
    if way is None:
        raise PowerRefused(f"{client.whom} takes none of {', '.join(ways)}, only {_listed(allowed)}")
    client.post(target, {"ResetType": way})


def _allowed_resets(client: RedfishClient, action: Body) -> list[str]:
    """What the BMC takes as ResetType; empty where it does not say (DSP0266, 8.4.2 and 8.4.3)."""
    said = action.get(f"ResetType{ALLOWED}")
    info = action.get("@Redfish.ActionInfo")
    if not said and isinstance(info, str):
        parameters = client.get(info).body.get("Parameters")
        for parameter in parameters if isinstance(parameters, list) else []:
            if link_of(parameter).get("Name") == "ResetType":
                said = parameter.get("AllowableValues")
    return [value for value in said if isinstance(value, str)] if isinstance(said, list) else []


def _set_boot(
    client: RedfishClient, system: Resource, *, device: BootDevice, persistent: bool, uefi: bool | None
) -> None:
    boot = link_of(system.body.get("Boot"))
    if device == BootDevice.DISK and persistent and "Continuous" not in (_listed_of(boot, "Enabled") or ["Continuous"]):
        device = BootDevice.DEFAULT  # what the machine does anyway when nobody tells it
    target, enabled = TARGETS[device], "Continuous" if persistent else "Once"
    if device == BootDevice.DEFAULT:
        enabled = "Disabled"
    for name, value in (("Target", target), ("Enabled", enabled)):
        listed = _listed_of(boot, name)
        if listed and value not in listed and device != BootDevice.DEFAULT:
            raise PowerRefused(f"{client.whom} cannot boot {value}, only {_listed(listed)}")
    wanted = {"BootSourceOverrideEnabled": enabled, "BootSourceOverrideTarget": target}
    mode = None if uefi is None else ("UEFI" if uefi else "Legacy")
    if mode and device != BootDevice.DEFAULT and boot.get("BootSourceOverrideMode") not in (None, mode):
        wanted["BootSourceOverrideMode"] = mode  # only where it differs: some BMCs take no mode at all
    client.patch(system, {"Boot": wanted})


def _listed_of(boot: Body, name: str) -> list[str]:
    """What the BMC takes as BootSourceOverride`name`; empty where it does not say."""
    listed = boot.get(f"BootSourceOverride{name}{ALLOWED}")
    return [str(item) for item in listed] if isinstance(listed, list) else []


def _boot_device(client: RedfishClient, system: Resource) -> BootDevice | None:
    boot = link_of(system.body.get("Boot"))
    target = boot.get("BootSourceOverrideTarget")
    if boot.get("BootSourceOverrideEnabled") == "Disabled":
        return BootDevice.DEFAULT
    return next((device for device, value in TARGETS.items() if value == target), None)


def _describe(client: RedfishClient, system: Resource) -> Body:
    names = ("UUID", "SerialNumber", "SKU", "Manufacturer", "Model", "PowerState", "BiosVersion")
    told = {name: str(value)[:127] for name in names if isinstance(value := system.body.get(name), str | int)}
    managers = link_of(system.body.get("Links")).get("ManagedBy")
    manager: Body = {}
    if isinstance(managers, list) and managers and (path := link(link_of(managers[0]))):
        try:
            manager = client.get(path).body
        except PowerError:
            manager = {}  # not every role may read it
    version = str(client.root.body.get("RedfishVersion", ""))[:31]
    firmware = {name: str(manager.get(name) or "")[:63] for name in ("FirmwareVersion", "DateTime")}
    return told | firmware | {"RedfishVersion": version, "power": str(_power(client, system)),
                              "boot": str(_boot_device(client, system) or "")}  # fmt: skip
