"""Debian 13's own installer, unattended, from an ISO image that Dodai serves as a mirror.

Asked for by DODAI_TEST_INSTALLER=partition (six minutes where processors are emulated), or =whole, to the first boot
of the installed system (more than a quarter of an hour; with DODAI_LAB_PROCESSORS=1, as Debian 13's kernel does not
bear two emulated processors).
"""

import json
import os

import pytest

from tests.debian_mirror import make_iso

ASKED = os.environ.get("DODAI_TEST_INSTALLER", "")
WHOLE = ASKED == "whole"
pytestmark = pytest.mark.skipif(ASKED not in ("partition", "whole"), reason="asked for by DODAI_TEST_INSTALLER")
TO_PARTITIONING_SECONDS, TO_THE_END_SECONDS = 1500, 5400  # on a busy computer 780 s to the grant and 2,300 more
MACHINE = "practice-1"
# The practice servers' network has neither router nor name server; without these the installer would ask for them.
OPTIONS = (
    "DEBIAN_FRONTEND=text net.ifnames=0 netcfg/dhcp_timeout=60 netcfg/get_nameservers=127.0.0.1 "
    "netcfg/no_default_route=true lowmem=+0"
)
ANSWERS = """\
d-i debian-installer/locale string en_US.UTF-8
d-i keyboard-configuration/xkb-keymap select us
d-i hw-detect/load_firmware boolean false
d-i preseed/early_command string wget -q -O /tmp/mirror.gpg {{ tree.url }}/mirror.gpg && \\
    rm -f /usr/share/keyrings/archive.gpg && cp /tmp/mirror.gpg /usr/share/keyrings/archive.gpg && \\
    { echo '#!/bin/sh'; echo 'mkdir -p /target/etc/apt/trusted.gpg.d'; \\
    echo 'cp /tmp/mirror.gpg /target/etc/apt/trusted.gpg.d/'; } > /usr/lib/base-installer.d/02key && \\
    chmod 755 /usr/lib/base-installer.d/02key
d-i mirror/protocol select http
d-i mirror/country string manual
d-i mirror/http/hostname string {{ tree.host }}
d-i mirror/http/directory string {{ tree.path }}
d-i mirror/http/proxy string
d-i mirror/suite string trixie
d-i mirror/codename string trixie
d-i mirror/udeb/suite string trixie
d-i clock-setup/utc boolean true
d-i clock-setup/ntp boolean false
d-i time/zone string {{ timezone }}
d-i passwd/root-login boolean true
d-i passwd/make-user boolean false
d-i passwd/root-password-crypted password {{ secrets.root_hash }}
d-i partman-auto/method string regular
d-i partman-auto/expert_recipe string one :: 1000 10000 -1 ext4 $primary{ } $bootable{ } method{ format } format{ } \\
    use_filesystem{ } filesystem{ ext4 } mountpoint{ / } .
d-i partman-basicfilesystems/no_swap boolean false
d-i partman-partitioning/confirm_write_new_label boolean true
d-i partman/choose_partition select finish
d-i partman/confirm boolean true
d-i partman/confirm_nooverwrite boolean true
d-i base-installer/install-recommends boolean false
d-i base-installer/kernel/image string linux-image-cloud-amd64
d-i base-installer/debootstrap_variant string minbase
d-i base-installer/initramfs-tools/driver-policy select dep
d-i base-installer/includes string systemd-sysv udev kmod iproute2 ifupdown dhcpcd-base netbase debconf-i18n tzdata \\
    e2fsprogs pciutils busybox initramfs-tools zstd grub-common grub2-common
d-i apt-setup/services-select multiselect
d-i apt-setup/security_host string
d-i apt-setup/non-free-firmware boolean false
d-i apt-setup/enable-source-repositories boolean false
d-i apt-setup/disable-cdrom-entries boolean true
d-i pkgsel/run_tasksel boolean false
d-i pkgsel/include string
d-i pkgsel/upgrade select none
d-i pkgsel/update-policy select none
d-i grub-installer/only_debian boolean true
d-i grub-installer/with_other_os boolean false
d-i debian-installer/add-kernel-opts string no_timer_check console=ttyS0 net.ifnames=0 maxcpus=1
d-i finish-install/keep-consoles boolean true
d-i finish-install/reboot_in_progress note
d-i cdrom-detect/eject boolean false
"""


@pytest.fixture(scope="module")
def install(dodai, installed, tmp_path_factory):
    """The install while it goes on: behind the other tests, which need all of the computer."""
    folder = tmp_path_factory.mktemp("debian-installer")
    dodai.must("image", "add", str(make_iso(folder, whole=WHOLE)), "--name", "debian-13")
    (folder / "answers.json").write_text(json.dumps(ANSWERS))
    method = dodai.database(f"""
import json
from dodaiweb import keys
image = Image.objects.get(name='debian-13')
image.metadata |= {{'answers': json.load(open({str(folder / "answers.json")!r})), 'options': {OPTIONS!r}}}
image.secrets_sealed = keys.encrypt(json.dumps({{'variables': 'root_hash: $6$salt$hash'}}), purpose='image secrets')
image.save()
image.method""")
    assert method == "preseed"
    following = dodai.install(MACHINE, "debian-13")
    yield following
    if following.process.poll() is None:
        dodai.must("cancel", MACHINE)
        following.wait(seconds=60)


def test_it_partitions_the_granted_disk(dodai, install) -> None:
    install.wait_for("phase", "partition", seconds=TO_PARTITIONING_SECONDS)
    granted = dodai.last_install(MACHINE)["granted_at"]
    assert granted, install.story()


@pytest.mark.skipif(not WHOLE, reason="asked for by DODAI_TEST_INSTALLER=whole")
def test_the_installed_system_calls(dodai, install) -> None:
    assert install.wait(seconds=TO_THE_END_SECONDS) == 0, install.story()
    state = dodai.database(f"[(m.state, m.image_name) for m in Machine.objects.filter(name={MACHINE!r})][0]")
    assert state == ["in_use", "debian-13"]
