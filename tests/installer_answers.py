"""Answer files for tests, a machine that runs an installer, and an ISO image."""

import json
import re
import subprocess
import uuid
from io import BytesIO
from pathlib import Path
from typing import Any

import pycdlib

from dodaiweb import keys
from installs.images import metadata
from installs.models import Image
from tests.installing import Server, facts_of

PRESEED = """\
# comments and continued lines
d-i debian-installer/locale string en_US.UTF-8
d-i passwd/root-password-crypted password {{ secrets.root_hash }}
d-i mirror/http/hostname string mirror.example.org
d-i partman-auto/method string regular
d-i partman/early_command string echo theirs
d-i preseed/late_command string \\
    echo {{ hostname | sh }} > /target/etc/motd
"""
KICKSTART = """\
text
url --url=http://mirror.example.org/os
rootpw --iscrypted {{ secrets.root_hash }}
network --hostname={{ hostname }}
clearpart --all --initlabel --drives={{ disk.id }}
autopart
%pre --erroronfail
echo before
%end
%packages
@core
%end
"""
AUTOINSTALL = """\
#cloud-config
autoinstall:
  version: 1
  early-commands: [echo before]
  identity: {hostname: {{ hostname | yaml }}, username: op, password: {{ secrets.root_hash | yaml }}}
  ssh: {install-server: true, authorized-keys: {{ keys | yaml }}}
"""
TEMPLATES = {"preseed": PRESEED, "kickstart": KICKSTART, "autoinstall": AUTOINSTALL}
HASH = "$6$salt$canaryhash"
FIRST_FILE = {"preseed": "preseed.cfg", "kickstart": "ks.cfg", "autoinstall": "user-data"}


def make_image(kind: str, name: str = "", **settings: Any) -> Image:
    """An image of an installer whose kernel is at a URL."""
    given = {
        "kernel": "http://mirror.example.org/linux", "initrd": "http://mirror.example.org/initrd", "options": "quiet",
        "place": "", "answers": TEMPLATES[kind],
    } | ({"release": "RHEL9"} if kind == "kickstart" else {}) | settings  # fmt: skip
    sealed = keys.encrypt(json.dumps({"variables": f"root_hash: {HASH}"}), purpose=metadata.PURPOSE)
    return Image.objects.create(name=name or kind, method=kind, metadata=given, secrets_sealed=sealed)


class Installing(Server):
    """A machine whose installer follows the files that it is led to, from its firmware on."""

    def boot_installer(self, kind: str) -> str:
        """Boot from the network and fetch the first file and the script; returns the boot answer."""
        self.kind, answer = kind, self.ask_boot()
        word = {"preseed": " url=", "kickstart": "inst.ks=", "autoinstall": "ds=nocloud;s="}[kind]
        place = answer.partition(word)[2].split()[0]
        path = "/" + place.partition("://")[2].partition("/")[2]
        self.first = self.client.get(path if kind != "autoinstall" else path + "user-data").content.decode()
        token = re.search(r"/script/([A-Za-z0-9_-]{43})", self.first)
        assert token, self.first
        self.boot_id = str(uuid.uuid4())
        response = self.client.post(f"/script/{token[1]}", {"boot_id": self.boot_id})
        assert response.status_code == 200, self.first
        self.script = response.content.decode()
        self.token = self.script.partition("Bearer %s\\n' ")[2].split()[0]
        return answer

    def ask_answers(self, *, status: int = 200, **changes: Any) -> str:
        facts = facts_of(self.machine, self.boot_id, **changes)
        response = self.client.post("/answers", json.dumps(facts), "application/json", headers=self._headers())
        assert response.status_code == status, response.content
        return response.content.decode()


def shell_value(text: str, name: str) -> str:
    """A variable of a text of assignments, as a shell reads it."""
    done = subprocess.run(["sh", "-c", f'eval "$1"; printf %s "${name}"', "sh", text], capture_output=True, check=True)
    return done.stdout.decode()


def make_iso(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    """An ISO image with Rock Ridge names, as those of installers have."""
    iso = pycdlib.PyCdlib()
    iso.new(rock_ridge="1.09", interchange_level=4)
    made: set[str] = set()
    for name in sorted({**files, **(links or {})}):
        _folders(iso, name, made)
        at, last = f"/{name.upper()}", name.rpartition("/")[2]
        if links and name in links:
            iso.add_symlink(at, rr_symlink_name=last, rr_path=links[name])
        else:
            iso.add_fp(BytesIO(files[name]), len(files[name]), at, rr_name=last)
    iso.write(str(path))
    iso.close()
    return path


def _folders(iso: pycdlib.PyCdlib, name: str, made: set[str]) -> None:
    parts = name.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        folder = "/".join(parts[:count])
        if folder not in made:
            made.add(folder)
            iso.add_directory(f"/{folder.upper()}", rr_name=parts[count - 1])
