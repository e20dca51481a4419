"""What a file of the inventory may say: kinds of things and their columns. docs/inventory.md is for its readers."""

from dataclasses import dataclass
from typing import Any

from machines.models import Bmc, Cluster, Credentials, Disk, Interface, Machine, MachineType, Site, Switch, Vlan

PASSWORD = "password"  # noqa: S105 - the name of a column
ATTRIBUTES = {"pxe": "is_pxe", "root": "is_root", "password": "password_sealed"}  # column -> what the model calls it


@dataclass(frozen=True)
class Kind:
    """`columns` in the order of exports; the first is what a thing is known by. `links` name other kinds."""

    name: str
    model: Any
    columns: tuple[str, ...]
    links: dict[str, str]
    section: str = ""


SITE = Kind("site", Site, ("name", "provision_url", "image_url", "provision_vlan"), {"provision_vlan": "vlan"}, "sites")
MACHINE_TYPE = Kind(
    "machine_type", MachineType, ("name", "boot_order", "local_boot", "kernel_args"), {}, "machine_types"
)
VLAN = Kind("vlan", Vlan, ("vid", "name"), {}, "vlans")
CLUSTER = Kind(
    "cluster", Cluster, ("name", "vlan", "colour", "network", "first_address", "last_address", "gateway", "dns"),
    {"vlan": "vlan"}, "clusters",
)  # fmt: skip
SWITCH = Kind(
    "switch", Switch, ("name", "driver", "vlans", "ports", "quarantine", "notes"), {"quarantine": "vlan"}, "switches"
)
CREDENTIALS = Kind("credentials", Credentials, ("name", "username", PASSWORD), {}, "credentials")
MACHINE = Kind(
    "machine", Machine,
    ("name", "site", "type", "cluster", "rack", "unit", "serial", "uuid", "owner", "notes", "protected"),
    {"site": "site", "type": "machine_type", "cluster": "cluster"}, "machines",
)  # fmt: skip
BMC = Kind(
    "bmc", Bmc, ("driver", "host", "port", "system_id", "credentials", "username", PASSWORD),
    {"credentials": "credentials"},
)  # fmt: skip
INTERFACE = Kind(
    "interface",
    Interface,
    ("mac", "name", "pxe", "role", "bond", "address", "gateway", "dns", "switch", "switch_port"),
    {"switch": "switch"},
)
DISK = Kind("disk", Disk, ("serial", "wwn", "root"), {})

SHARED = (VLAN, SITE, MACHINE_TYPE, CLUSTER, SWITCH, CREDENTIALS)
"""What machines refer to; entered before them, and each after what it refers to itself."""
SECTIONS = {kind.section: kind for kind in (*SHARED, MACHINE)}
PARTS = {"bmc": BMC, "interfaces": INTERFACE, "disks": DISK}
"""What stands inside of a machine in YAML. The first is one, the others are lists."""

# In CSV a part is a group of columns of the machine's row; those of cards and disks end in a number: mac_1, mac_2.
CSV_BMC = {f"bmc_{column}": column for column in BMC.columns}
CSV_INTERFACE = {"mac": "mac", "nic": "name"} | {column: column for column in INTERFACE.columns[2:]}
CSV_DISK = {"disk": "serial", "disk_wwn": "wwn", "disk_root": "root"}


def attribute(column: str) -> str:
    return ATTRIBUTES.get(column, column)
