# A disk: choosing it, freeing it, letting go of it.

readonly MIB=1048576
readonly TAB=$'\t'

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

await_partition() {
    local tries=0
    while [[ ! -b $1 ]]; do
        [[ $tries -lt 50 ]] || fail disk "The kernel does not show the partition $1."
        tries=$((tries + 1))
        sleep 0.1
    done
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
