# The disk: choosing it, freeing it, cutting it up.

readonly MIB=1048576
readonly TAB=$'\t'
readonly EXT4_OPTIONS=(-q -F -E 'lazy_itable_init=1,lazy_journal_init=1' -O '^metadata_csum_seed,^orphan_file')

# Sets DISK to the one disk that has every number the plan names.
choose_disk() {
    local -a matches=()
    local path serial wwn rest
    [[ -n $PLANNED_SERIAL || -n $PLANNED_WWN ]] || fail disk "The plan names no serial number and no WWN of a disk."
    while IFS= read -r line; do
        # Not `read` with a tab as separator: it would swallow an empty field.
        path=${line%%"$TAB"*} rest=${line#*"$TAB"}
        serial=${rest%%"$TAB"*} rest=${rest#*"$TAB"}
        wwn=${rest%%"$TAB"*}
        [[ -z $PLANNED_SERIAL || $serial == "$PLANNED_SERIAL" ]] || continue
        [[ -z $PLANNED_WWN || $wwn == "$PLANNED_WWN" ]] || continue
        matches+=("$path")
    done <"$WORK/disks.tsv"
    case "${matches[*]}" in
    '') fail disk "No disk has $(wanted_disk). This machine has: $(found_disks)." ;;
    *' '*) fail disk "More than one disk has $(wanted_disk): ${matches[*]}. This machine has: $(found_disks)." ;;
    esac
    DISK=${matches[0]}
    PART=$DISK
    [[ $DISK != *[0-9] ]] || PART=${DISK}p
    say "disk $DISK has $(wanted_disk)"
}

wanted_disk() {
    local and=
    [[ -z $PLANNED_SERIAL || -z $PLANNED_WWN ]] || and=' and '
    echo "${PLANNED_SERIAL:+serial number $PLANNED_SERIAL}$and${PLANNED_WWN:+WWN $PLANNED_WWN}"
}

found_disks() {
    [[ -s $WORK/disks.tsv ]] || { echo 'no disk at all'; return; }
    awk -F '\t' '{ printf "%s%s (serial %s, WWN %s, %.1f GiB, %s)", (NR > 1 ? ", " : ""), $1, ($2 == "" ? "none" : $2),
        ($3 == "" ? "none" : $3), $4 / 1073741824, ($5 == "" ? "no model" : $5) }' "$WORK/disks.tsv"
}

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

# Whatever was assembled on the disk (md, LVM, multipath) is taken apart, from the top down.
release_disk() {
    local holder path
    for path in $(lsblk --noheadings --list --paths --output PATH "$DISK" | tail -n +2 | awk '!seen[$0]++ { all = $0 "\n" all } END { printf "%s", all }'); do
        holder=$(readlink -f "$path")
        case $holder in
        /dev/md*) mdadm --stop "$holder" || held "the RAID $path" ;;
        /dev/dm-*) dmsetup remove --retry "$path" || held "the volume $path" ;;
        esac
    done
    ! grep -q "^$DISK" /proc/swaps /proc/mounts || held 'its file system or swap'
}

# held WHAT
held() {
    fail busy "The disk $DISK is busy in the ramdisk: $1 does not let go of it."
}

# Old signatures inside partitions would come back to life when a new partition begins at the same place.
wipe_disk() {
    local -a paths
    mapfile -t paths < <(lsblk --noheadings --list --paths --output PATH "$DISK" | tail -n +2)
    wipefs --all --force --quiet "${paths[@]}" "$DISK"
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

await_partition() {
    local tries=0
    while [[ ! -b $1 ]]; do
        [[ $tries -lt 50 ]] || fail disk "The kernel does not show the partition $1."
        tries=$((tries + 1))
        sleep 0.1
    done
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

# Everything below /mnt, the newest first.
unmount_all() {
    cd /
    sync
    awk '$2 ~ "^/mnt/" { print $2 }' /proc/mounts | sort -r | while IFS= read -r path; do umount "$path"; done
}

uuid_of() {
    blkid -p -s UUID -o value "$1"
}
