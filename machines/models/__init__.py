"""What exists: machines, their cards and disks, how to reach them, and where they belong."""

from machines.models.bmc import BMC_PASSWORD_PURPOSE, Bmc, Credentials, power_drivers
from machines.models.hardware import Disk, Interface, Sighting, validate_mac
from machines.models.links import Link
from machines.models.machine import POWER_IS_STALE_AFTER, BootOrder, LocalBoot, Machine, MachineQuerySet, MachineType
from machines.models.operations import Beat, Checkup, KeyProof, PowerCommand
from machines.models.places import HOST_NAME, KERNEL_ARGS, Cluster, Site, Vlan
from machines.models.switches import SWITCH_SECRETS_PURPOSE, PortMove, Switch, network_drivers
from machines.models.upload import InventoryUpload

__all__ = [
    "BMC_PASSWORD_PURPOSE",
    "HOST_NAME",
    "KERNEL_ARGS",
    "POWER_IS_STALE_AFTER",
    "SWITCH_SECRETS_PURPOSE",
    "Beat",
    "Bmc",
    "BootOrder",
    "Checkup",
    "Cluster",
    "Credentials",
    "Disk",
    "Interface",
    "InventoryUpload",
    "KeyProof",
    "Link",
    "LocalBoot",
    "Machine",
    "MachineQuerySet",
    "MachineType",
    "PortMove",
    "PowerCommand",
    "Sighting",
    "Site",
    "Switch",
    "Vlan",
    "network_drivers",
    "power_drivers",
    "validate_mac",
]
