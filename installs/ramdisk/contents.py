"""What goes into each ramdisk: Debian packages, programs, kernel modules, GRUB modules."""

from dataclasses import dataclass

# The cloud kernel has no AHCI, e1000 or IPMI, so every set uses the generic one.
KERNEL = "linux-image-amd64"

TOOLS = (
    "bash busybox ca-certificates coreutils curl dmidecode dmsetup dosfstools e2fsprogs efibootmgr fdisk grub-common "
    "grub2-common grub-efi-amd64-bin grub-pc-bin hdparm ipmitool iproute2 jq kmod libgcc-s1 mdadm mount "
    "nvme-cli openssl parted perl-base rsync tar tgt util-linux xfsprogs zstd"
).split()

# In the closure by way of maintainer scripts or documentation; nothing in the ramdisk loads them.
NEVER_UNPACKED = (
    "adduser debconf dpkg gawk init-system-helpers initramfs-tools initramfs-tools-core klibc-utils libklibc "
    "libconfig-general-perl libperl5.36 libsgutils2-1.46-2 linux-base mawk perl perl-modules-5.36 python3 "
    "sg3-utils systemd systemd-sysv udev ucf"
).split()

PROGRAMS = (
    "bash blkdiscard blkid blockdev busybox curl dd dmidecode dmsetup e2fsck efibootmgr grub-install grub-mkimage "
    "grub-probe hdparm ip ipmitool jq kmod losetup lsblk lscpu mdadm mke2fs mkfs.ext4 mkfs.vfat mkfs.xfs mkswap mount "
    "nvme openssl parted partprobe perl resize2fs rsync sfdisk tar tee tgtadm tgtd tune2fs umount wipefs xfs_growfs "
    "zstd"
).split()
# kmod understands compressed modules and soft dependencies; busybox's applets of these names do not.
KMOD_NAMES = ("depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod")

LAB_MODULES = (
    "af_packet ahci ata_generic ata_piix crc32c_generic crc32c_intel dm_mod e1000 e1000e efivarfs ext4 ipmi_devintf "
    "ipmi_si ipmi_ssif loop md_mod nls_ascii nls_cp437 nls_iso8859-1 nls_utf8 nvme overlay raid1 sd_mod squashfs "
    "usb_storage vfat virtio_balloon virtio_blk virtio_net virtio_pci virtio_rng virtio_scsi xfs xhci_pci"
).split()

# Folders below kernel/ of the module tree.
REAL_FOLDERS = (
    "arch crypto drivers/ata drivers/block drivers/cdrom drivers/char/ipmi drivers/firmware drivers/hid drivers/hv "
    "drivers/md drivers/message drivers/net/bonding drivers/net/ethernet drivers/net/hyperv drivers/net/mdio "
    "drivers/net/phy drivers/net/usb drivers/net/vmxnet3 drivers/nvme drivers/pci drivers/scsi drivers/target "
    "drivers/usb/host drivers/usb/storage drivers/virtio fs/efivarfs fs/ext4 fs/fat fs/isofs fs/nls fs/overlayfs "
    "fs/squashfs fs/xfs lib"
).split()

# Names that a Debian release may lack are left out with a word about it.
FIRMWARE = (
    "firmware-bnx2 firmware-bnx2x firmware-cavium firmware-misc-nonfree firmware-myricom firmware-netronome "
    "firmware-netxen firmware-qlogic firmware-realtek"
).split()

# grub-install copies every module it finds, so only these (and what moddep.lst adds) are put in its folder.
GRUB_MODULES = (
    "all_video biosdisk boot btrfs cat chain configfile diskfilter echo efi_gop efi_uga efifwsetup ext2 fat font "
    "gfxterm gzio halt linux loadenv ls lvm mdraid09 mdraid1x minicmd msdospart normal part_gpt part_msdos probe "
    "reboot regexp search search_fs_file search_fs_uuid search_label serial sleep terminal test true vbe vga "
    "video video_bochs video_cirrus xfs xzio zstd"
).split()


@dataclass(frozen=True)
class Contents:
    """One set: its name and the kernel modules that it carries besides their dependencies."""

    name: str
    modules: tuple[str, ...]
    folders: tuple[str, ...] = ()


SETS = {
    "lab": Contents("lab", tuple(LAB_MODULES)),
    "real": Contents("real", tuple(LAB_MODULES), folders=tuple(REAL_FOLDERS)),
}
