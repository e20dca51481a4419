# The image: where it is kept, fetching, checking and copying it.

readonly SPARE_MEMORY_BYTES=$((128 * MIB)) # what the copy itself, its page cache and the tools need

# An image that fits safely into memory is fetched and checked before anything is written: a wrong one leaves the disk
# as it was.
fits_memory() {
    local available
    available=$(($(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo) * 1024))
    [[ $((IMAGE_BYTES + SPARE_MEMORY_BYTES)) -le $available ]]
}

place_in_memory() {
    mkdir -p /mnt/image
    mount -t tmpfs -o "size=$((IMAGE_BYTES + MIB)),mode=700" tmpfs /mnt/image
    IMAGE=/mnt/image/image
}

# On the file system that has room: the ephemeral one, else the new root.
place_on_disk() {
    mkdir -p /mnt/image
    if [[ $EPHEMERAL -gt 0 ]]; then
        mount -t ext4 -o nosuid,nodev,noatime "$PART$EPHEMERAL" /mnt/image
        IMAGE=/mnt/image/.dodai-image
        [[ $(free_bytes /mnt/image) -le $IMAGE_BYTES ]] || return 0
        umount /mnt/image
    fi
    IMAGE=$ROOT/.dodai-image
    need_space "$ROOT" $((IMAGE_UNPACKED_BYTES + IMAGE_BYTES)) "the image and what it unpacks to"
}

need_space() {
    local free
    free=$(free_bytes "$1")
    [[ $free -ge $2 ]] || fail space "The root file system has $((free / MIB)) MiB free, $3 needs $(($2 / MIB)) MiB: give it more."
}

free_bytes() {
    local block free
    read -r block free < <(stat -f -c '%S %a' "$1")
    echo $((block * free))
}

used_bytes() {
    local block all free
    read -r block all free < <(stat -f -c '%S %b %f' "$1")
    echo $((block * (all - free)))
}

{% include "fetch.sh" %}

fetch_and_check() {
    cause=fetch
    begin_phase fetch "$IMAGE_BYTES"
    run_worker fetched_bytes "$IMAGE_BYTES" fetch_image
    report_progress "$IMAGE_BYTES" "$IMAGE_BYTES"
    begin_phase verify "$IMAGE_BYTES"
    run_worker hashed_bytes "$IMAGE_BYTES" hash_image
    check_digest
    report_progress "$IMAGE_BYTES" "$IMAGE_BYTES"
}

copied_bytes() {
    echo $(($(used_bytes "$ROOT") - used_before))
}

copy_image() {
    cause=image
    case $IMAGE_KIND in
    ext4) copy_ext4 ;;
    tar.zst) copy_tar ;;
    *) fail image "The image $IMAGE_NAME is of the kind $IMAGE_KIND, which this script does not know." ;;
    esac
}

copy_ext4() {
    local held
    modprobe --quiet --all loop ext4 || true
    mkdir -p /mnt/source
    mount -t ext4 -o loop,ro,nosuid,nodev,noexec "$IMAGE" /mnt/source
    held=$(used_bytes /mnt/source)
    need_space "$ROOT" "$held" "the tree in the image"
    rsync --archive --hard-links --acls --xattrs --sparse --numeric-ids --one-file-system \
        --exclude=/lost+found --exclude=/.dodai-image /mnt/source/ "$ROOT/"
    umount /mnt/source
}

# Asking for attributes takes calls for each file, even where there are none. Records of 256 KiB: tar's own of 10 KiB
# mean 25 times as many reads and writes.
copy_tar() {
    local -a attributes=()
    [[ $IMAGE_HAS_ATTRIBUTES == no ]] || attributes=(--xattrs '--xattrs-include=*' --acls)
    tar --extract --blocking-factor=512 --file="$IMAGE" --directory="$ROOT" --use-compress-program='zstd --decompress --quiet' --preserve-permissions \
        --same-owner --numeric-owner "${attributes[@]}" --exclude='./.dodai-image' --warning=no-timestamp
}

remove_image() {
    rm -f "$IMAGE"
    ! grep -q ' /mnt/image ' /proc/mounts || umount /mnt/image
}
