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

fetched_bytes() {
    stat -c %s "$IMAGE" 2>/dev/null || echo 0
}

# Goes on where it stopped, as long as bytes come within half an hour.
fetch_image() {
    local pause=1 code said before give_up_at=$((SECONDS + RETRY_SECONDS))
    while before=$(fetched_bytes) && [[ $before -lt $IMAGE_BYTES ]]; do
        code=0
        said=$(curl --silent --show-error --fail --location --continue-at - --connect-timeout 10 --speed-limit 1 \
            --speed-time 60 --output "$IMAGE" --write-out '%{http_code} %header{retry-after}' "$IMAGE_URL") || code=$?
        take_status "$said"
        [[ $code -ne 0 ]] || break
        case $code in
        23) fail space "No room for the image where it was to be kept ($IMAGE)." ;;
        33) rm -f "$IMAGE" ;; # the server cannot go on in the middle
        esac
        case $http_status in
        408 | 425 | 429) ;; # too slow, too early, too often: later it may well
        4??) fail fetch "The server answered HTTP $http_status for $IMAGE_URL." ;;
        esac
        [[ $(fetched_bytes) -le $before ]] || { give_up_at=$((SECONDS + RETRY_SECONDS)) pause=1; }
        [[ $SECONDS -lt $give_up_at ]] || fail fetch "No bytes of $IMAGE_URL in $RETRY_SECONDS s (curl's code $code)."
        pause_of "$pause"
        echo "fetch: curl ended with code $code after $(fetched_bytes) bytes; going on in $REPLY s"
        sleep "$REPLY"
        pause=$((pause * 2 < 30 ? pause * 2 : 30))
    done
    [[ $(fetched_bytes) -eq $IMAGE_BYTES ]] ||
        fail digest "The image is $(fetched_bytes) bytes long, not the $IMAGE_BYTES that were planned."
}

hash_image() {
    exec openssl dgst -sha256 -r <"$IMAGE" >"$WORK/digest"
}

# How far the hash has read.
hashed_bytes() {
    awk '/^pos:/ { print $2 }' "/proc/$worker/fdinfo/0" 2>/dev/null || echo 0
}

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

check_digest() {
    local found
    read -r found _ <"$WORK/digest"
    [[ $found == "$IMAGE_SHA256" ]] ||
        fail digest "The image $IMAGE_NAME has the SHA-256 $found, the catalogue says $IMAGE_SHA256. It was not unpacked."
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
