"""Machines, images and machines' words for tests of installs. Power is the driver `fake`."""

import json
import uuid
from typing import Any

from django.conf import settings
from django.test import Client
from django.utils.timezone import now

from installs import actions, flow, ramdisk
from installs.models import Image, Install
from machines.models import Bmc, Disk, Interface, Machine, Site

GIB = 1 << 30
DIGEST = "ab" * 32
RAMDISK = ramdisk.Ramdisk(
    name="lab",
    version="lab-0123456789ab",
    kernel=None,
    initrd=None,
    modules=frozenset(),
    packages={},
    kernel_release="6.1",
    options={},
    recipe="",
    built_at=0.0,
)


def make_machine(name: str = "node1", *, driver: str = "fake", number: int = 1, **fields: Any) -> Machine:
    """A machine that has been inspected and has one root disk."""
    from django.utils.timezone import now

    values = {
        "state": "free",
        "serial": f"SN{number}",
        "uuid": str(uuid.UUID(int=number << 64 | 7)),
        "inspected_at": now(),
    }
    machine = Machine.objects.create(name=name, site=main_site(), **values | fields)
    Bmc.objects.create(machine=machine, driver=driver)
    Interface.objects.create(machine=machine, mac=f"52:54:00:00:00:{number:02x}", is_pxe=True)
    Disk.objects.create(machine=machine, serial=f"DISK{number}", size_bytes=100 * GIB, path="/dev/sda", is_root=True)
    return machine


def main_site() -> Site:
    """The site of all test machines, which reach Dodai from outside."""
    urls = {"provision_url": "http://10.0.0.2:8001", "image_url": "http://10.0.0.2:8002"}
    return Site.objects.update_or_create(name="main", defaults=urls)[0]


def make_image(name: str = "debian", **fields: Any) -> Image:
    folder = settings.DATA / "images"
    folder.mkdir(exist_ok=True)
    (folder / DIGEST).touch()
    values = {"kind": "ext4", "sha256": DIGEST, "size_bytes": 700 << 20, "unpacked_bytes": 600 << 20, "swap_mib": 512}
    return Image.objects.create(name=name, **values | fields)


def start(machine: Machine, image: Image | None = None) -> Install:
    return actions.start_install(machine, image or Image.objects.first() or make_image(), by="tester")


def run() -> None:
    """Like workers for whom no pause is long. Who waits for a person never ends: some turns are enough."""
    flow.begin_next()
    for _ in range(40):
        Install.objects.filter(look_again_at__isnull=False).update(look_again_at=now())
        if not flow.run_due():
            return


def facts_of(machine: Machine, boot_id: str, /, **changes: Any) -> dict[str, Any]:
    """What an honest machine says of itself."""
    disks = [
        {"path": disk.path, "serial": disk.serial, "wwn": disk.wwn, "size_bytes": disk.size_bytes, "signatures": []}
        for disk in machine.disks.all()
    ]
    return {
        "boot_id": boot_id, "firmware": "bios", "uuid": machine.uuid, "serial": machine.serial, "memory_bytes": 8 * GIB,
        "interfaces": [{"name": "eth0", "mac": card.mac} for card in machine.interfaces.all()], "disks": disks,
        "modaliases": [],
    } | changes  # fmt: skip


class Server:
    """A machine as the provisioning listener sees it: it boots, fetches its script and speaks."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.client = machine, Client()
        self.token, self.boot_id = "", ""

    @property
    def mac(self) -> str:
        return self.machine.interfaces.get(is_pxe=True).mac

    def ask_boot(self, **question: str) -> str:
        return self.client.get("/boot.ipxe", {"mac": self.mac, **question}).content.decode()

    def boot(self) -> bool:
        """Boot from the network; True when that leads to the ramdisk, with its script fetched."""
        answer = self.ask_boot()
        if "dodai_script=" not in answer:
            return False
        path = answer.partition("dodai_script=")[2].split()[0].partition("/script/")[2]
        return self.fetch_script(path, str(uuid.uuid4()))

    def fetch_script(self, token: str, boot_id: str) -> bool:
        response = self.client.post(f"/script/{token}", {"boot_id": boot_id})
        if response.status_code != 200:
            return False
        self.boot_id, self.token = boot_id, response.content.decode().partition("Bearer %s\\n' ")[2].split()[0]
        return True

    def say(self, name: str, data: Any = None, *, status: int = 200) -> str:
        return self._post(f"/event/{name}", data or {}, status).get("result", "")

    def ask_grant(self, *, status: int = 200, disk: dict[str, Any] | None = None, **changes: Any) -> str:
        facts = facts_of(self.machine, self.boot_id, **changes)
        body = facts | {"disk": disk or (facts["disks"] or [None])[0]}
        response = self.client.post("/grant", json.dumps(body), "application/json", headers=self._headers())
        assert response.status_code == status, response.content
        return response.content.decode()

    def ask_settings(self, *, status: int = 200, **changes: Any) -> str:
        """What a system that runs from memory is told."""
        body = json.dumps(facts_of(self.machine, self.boot_id, **changes))
        response = self.client.post("/settings", body, "application/json", headers=self._headers())
        assert response.status_code == status, response.content
        return response.content.decode()

    def finish_first_boot(self, granted: str, **said: str) -> str:
        url = granted.partition("DODAI_FIRST_BOOT_URL=")[2].split()[0].strip("'")
        return self.client.post("/first-boot/" + url.rpartition("/")[2], said).json()["result"]

    def _post(self, path: str, data: Any, status: int) -> dict[str, Any]:
        response = self.client.post(path, json.dumps(data), "application/json", headers=self._headers())
        assert response.status_code == status, (response.status_code, response.content)
        return response.json() if response["Content-Type"] == "application/json" else {}

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}
