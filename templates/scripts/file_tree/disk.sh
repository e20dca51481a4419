{% include "disk.sh" %}

# Cutting the disk up.

readonly EXT4_OPTIONS=(-q -F -E 'lazy_itable_init=1,lazy_journal_init=1' -O '^metadata_csum_seed,^orphan_file')

# Sizes in MiB of every partition, from the settings; fails before anything is written when they do not fit.
plan_partitions() {
    local disk_mib
    disk_mib=$(($(blockdev --getsize64 "$DISK") / MIB))
    ESP_MIB=64
    # FAT32 needs 65,525 clusters: with sectors of 4 KiB that is more than 256 MiB.
    [[ $disk_mib -lt 32768 ]] || ESP_MIB=512
    SWAP_MIB=$(in_mib "$DODAI_SWAP_BYTES") KDUMP_MIB=$(in_mib "$DODAI_KDUMP_BYTES")
    ROOT_MIB=$(in_mib "$DODAI_ROOT_BYTES") EPHEMERAL_MIB=$(in_mib "$DODAI_EPHEMERAL_BYTES")
    # 1 MiB before the first partition, 1 for GRUB, 1 for the second partition table.
    local free_mib=$((disk_mib - 3 - ESP_MIB - SWAP_MIB - KDUMP_MIB - ROOT_MIB - EPHEMERAL_MIB))
    [[ $free_mib -ge 0 && $((ROOT_MIB + free_mib)) -ge 16 ]] ||
        fail space "The disk $DISK has $disk_mib MiB, the layout needs $((disk_mib - free_mib)) MiB: choose smaller sizes."
    give_the_rest "$free_mib"
    # ext4 keeps 5 % for root and needs its tables and journal.
    [[ $((ROOT_MIB * 90 / 100 - 8)) -ge $((IMAGE_UNPACKED_BYTES / MIB)) ]] || fail space "The root file system would have \
$ROOT_MIB MiB, too few for the $((IMAGE_UNPACKED_BYTES / MIB)) MiB of the image: give it more."
}

# give_the_rest MIB
give_the_rest() {
    # What is left goes to the root file system, or, where that has a fixed size, to the ephemeral one.
    if [[ $ROOT_MIB -eq 0 ]]; then
        ROOT_MIB=$1
    elif [[ $EPHEMERAL_MIB -gt 0 ]]; then
        EPHEMERAL_MIB=$((EPHEMERAL_MIB + $1))
    fi
}

in_mib() {
    echo $((($1 + MIB - 1) / MIB))
}

partition_disk() {
    release_disk
    wipe_disk
    {
        echo 'label: gpt'
        echo 'size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name=bios'
        echo "size=${ESP_MIB}MiB, type=uefi, name=esp"
        echo "size=${ROOT_MIB}MiB, type=linux, name=root"
        [[ $SWAP_MIB -eq 0 ]] || echo "size=${SWAP_MIB}MiB, type=swap, name=swap"
        [[ $KDUMP_MIB -eq 0 ]] || echo "size=${KDUMP_MIB}MiB, type=linux, name=kdump"
        [[ $EPHEMERAL_MIB -eq 0 ]] || echo "size=${EPHEMERAL_MIB}MiB, type=linux, name=ephemeral"
    } >"$WORK/layout"
    sfdisk --quiet --wipe always --wipe-partitions always "$DISK" <"$WORK/layout"
    await_partition "$PART$(($(wc -l <"$WORK/layout") - 1))"
}

# Partition numbers follow the layout; 0: there is none.
number_partitions() {
    local number=3
    SWAP=0 KDUMP=0 EPHEMERAL=0
    [[ $SWAP_MIB -eq 0 ]] || SWAP=$((number += 1))
    [[ $KDUMP_MIB -eq 0 ]] || KDUMP=$((number += 1))
    [[ $EPHEMERAL_MIB -eq 0 ]] || EPHEMERAL=$((number += 1))
}

make_file_systems() {
    modprobe --quiet --all ext4 vfat nls_cp437 nls_ascii nls_iso8859-1 || true
    mkfs.vfat -F 32 -n ESP "${PART}2"
    mkfs.ext4 "${EXT4_OPTIONS[@]}" -L root "${PART}3"
    [[ $SWAP -eq 0 ]] || mkswap --label swap "$PART$SWAP"
    [[ $KDUMP -eq 0 ]] || mkfs.ext4 "${EXT4_OPTIONS[@]}" -L kdump "$PART$KDUMP"
    [[ $EPHEMERAL -eq 0 ]] || mkfs.ext4 "${EXT4_OPTIONS[@]}" -L ephemeral "$PART$EPHEMERAL"
}

prepare_disk() {
    cause=disk
    partition_disk
    make_file_systems
}

mount_new_system() {
    mkdir -p "$ROOT" "$ESP"
    mount -t ext4 -o nosuid,nodev,noatime "${PART}3" "$ROOT"
    mount -t vfat -o nosuid,nodev,noexec,noatime "${PART}2" "$ESP"
}
