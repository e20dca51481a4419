# A disk that gets the image of a whole disk, whoever writes it. Its first MiB, which makes a disk boot, comes last: until
# then nothing finds a system on it.

check_disk() {
    local bytes sector
    bytes=$(blockdev --getsize64 "$DISK")
    sector=$(blockdev --getss "$DISK")
    [[ $bytes -ge $IMAGE_UNPACKED_BYTES ]] || fail space "The disk $DISK has $((bytes / MIB)) MiB, the image $IMAGE_NAME \
needs $((IMAGE_UNPACKED_BYTES / MIB)) MiB: choose a larger disk. Nothing was written."
    [[ $sector == 512 ]] || fail disk "The disk $DISK has sectors of $sector bytes; images of disks are made for 512. \
Nothing was written."
}

# Whatever happens from here on, no firmware finds a system on this disk before make_bootable.
clear_disk() {
    cause=disk
    release_disk
    wipe_disk
    find_zeros >"$WORK/sparse"
    blank 0
    blank $(($(blockdev --getsize64 "$DISK") / MIB - 1))
}

# blank MIB: zeros over that MiB of the disk, past the cache.
blank() {
    dd if=/dev/zero of="$DISK" bs="$MIB" seek="$1" count=1 oflag=direct conv=notrunc,fsync status=none
}

# Prints dd's flag for skipping zeros. That is right only where the kernel vouches that the disk holds zeros: after
# BLKZEROOUT, and worth it only where the disk does that without writing. A discard alone promises nothing.
find_zeros() {
    local queue=/sys/block/${DISK##*/}/queue
    line_of "$queue/discard_max_bytes"
    [[ ${REPLY:-0} -gt 0 ]] || return 0
    blkdiscard --force "$DISK" || return 0
    line_of "$queue/write_zeroes_max_bytes"
    [[ ${REPLY:-0} -gt 0 ]] || return 0
    ! blkdiscard --force --zeroout --length $(((IMAGE_UNPACKED_BYTES + MIB - 1) / MIB * MIB)) "$DISK" || echo sparse
}

# Where the second partition table of the image may stand by now.
blank_end() {
    local last=$(((IMAGE_UNPACKED_BYTES - 1) / MIB))
    [[ $last == 0 ]] || blank "$last" || true
}

# Reads back what the disk has, past the cache, where the catalogue knows what should be there.
verify_image() {
    local offset wanted found count=0
    cause=disk
    while read -r offset wanted; do
        [[ -n $offset && $offset -ge $MIB ]] || continue
        found=$(dd if="$DISK" bs="$SAMPLE_BYTES" skip=$((offset / SAMPLE_BYTES)) count=1 iflag=direct status=none |
            openssl dgst -sha256 -r)
        [[ ${found%% *} == "$wanted" ]] || { blank_end; fail disk "The disk $DISK does not hold what was written: it differs at \
byte $offset. The disk cannot boot; replace it."; }
        count=$((count + 1))
    done <<<"$SAMPLES"
    echo "verify: $count samples of $SAMPLE_BYTES bytes are as they should be" >>"$LOG"
}

# The first MiB last.
make_bootable() {
    cause=disk
    dd if="$WORK/first" of="$DISK" bs="$MIB" oflag=direct conv=notrunc,fsync status=none
    dd if="$DISK" bs="$MIB" count=1 iflag=direct status=none | cmp -n "$(stat -c %s "$WORK/first")" - "$WORK/first" ||
        { blank 0; fail disk "The disk $DISK does not hold what was written: its first MiB differs. Replace it."; }
    relocate_table
}
