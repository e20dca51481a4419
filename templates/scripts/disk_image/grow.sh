# The image was made for a disk of its own size: the partition table and the root file system get this disk's.

# A GPT has its second copy at the end of the disk.
relocate_table() {
    if [[ $(uuid_of_table) == gpt ]]; then
        sfdisk --quiet --relocate gpt-bak-std "$DISK" >>"$LOG" 2>&1
    fi
    blockdev --rereadpt "$DISK"
}

uuid_of_table() {
    blkid -p -s PTTYPE -o value "$DISK" || true
}

# A line `device number start type` for each partition, in the order of their starts.
list_partitions() {
    sfdisk --json "$DISK" | jq -r --arg prefix "$PART" '.partitiontable.partitions | sort_by(.start)[] |
        "\(.node) \(.node | ltrimstr($prefix)) \(.start) \(.type)"'
}

# Sets ROOT_NUMBER and ROOT_TYPE: the partition that has a system in it.
find_root() {
    local node number
    modprobe --quiet --all ext4 xfs vfat nls_cp437 nls_ascii nls_iso8859-1 || true
    ROOT_NUMBER=
    while read -r node number _; do
        [[ $ROOT_PARTITION == 0 || $ROOT_PARTITION == "$number" ]] || continue
        await_partition "$node"
        ROOT_TYPE=$(blkid -p -s TYPE -o value "$node" || true)
        if [[ $ROOT_TYPE == ext[234] || $ROOT_TYPE == xfs ]] && holds_system "$node"; then
            ROOT_NUMBER=$number
            break
        fi
    done < <(list_partitions)
    [[ -n $ROOT_NUMBER ]] || fail image "The image $IMAGE_NAME has no partition with a system that could be set up \
(ext4 or xfs, with /etc and an init)."
    say "the system is in partition $ROOT_NUMBER ($ROOT_TYPE)"
}

# holds_system DEVICE
holds_system() {
    local name found=no
    mkdir -p /mnt/look
    mount -o ro,nosuid,nodev,noexec "$1" /mnt/look || return 1
    if [[ -d /mnt/look/etc ]]; then
        for name in usr/lib/systemd/systemd lib/systemd/systemd sbin/init usr/sbin/init bin/init init; do
            [[ ! -e /mnt/look/$name && ! -L /mnt/look/$name ]] || found=yes
        done
    fi
    umount /mnt/look
    [[ $found == yes ]]
}

grow_root() {
    local last code=0
    cause=image
    [[ $GROW == yes ]] || return 0
    last=$(list_partitions | awk '{ number = $2 } END { print number }')
    if [[ $last != "$ROOT_NUMBER" ]]; then
        echo "grow: partition $last stands behind the root, which stays as large as it is" >>"$LOG"
        return 0
    fi
    echo ', +' | sfdisk --quiet --wipe never --partno "$ROOT_NUMBER" "$DISK" >>"$LOG" 2>&1
    await_partition "$PART$ROOT_NUMBER"
    case $ROOT_TYPE in
    ext[234])
        e2fsck -f -p "$PART$ROOT_NUMBER" >>"$LOG" 2>&1 || code=$?
        [[ $code -le 1 ]] || fail image "The root file system of $IMAGE_NAME is damaged (e2fsck's code $code)."
        resize2fs "$PART$ROOT_NUMBER" >>"$LOG" 2>&1
        ;;
    xfs)
        mkdir -p /mnt/look
        mount -t xfs -o nosuid,nodev,noexec "$PART$ROOT_NUMBER" /mnt/look
        xfs_growfs /mnt/look >>"$LOG" 2>&1
        umount /mnt/look
        ;;
    esac
}

mount_root() {
    mkdir -p "$ROOT"
    mount -t "$ROOT_TYPE" -o nosuid,nodev,noatime "$PART$ROOT_NUMBER" "$ROOT"
}

# Sets ESP_NUMBER, 1 where there is none: then UEFI has nothing to start, and BIOS does not ask.
find_esp() {
    ESP_NUMBER=$(list_partitions | awk 'toupper($4) == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" || $4 == "ef" { print $2; exit }')
    ESP_NUMBER=${ESP_NUMBER:-1}
}
