# The export: Dodai writes the disk from outside, by iSCSI. Each copy has a target and a secret of its own, for as long as
# Dodai wants it; whoever wrote for an earlier one is cut off before the next begins. What is written to the first and
# the last MiB stays in memory until all the rest has been read back: a copy that breaks off leaves nothing that boots.

readonly EXPORTED=dodai-export
readonly MIB_SECTORS=2048

# The device that is exported: as large as the image, its ends in memory, the rest on the disk.
make_device() {
    local sectors=$(((IMAGE_UNPACKED_BYTES + 511) / 512)) first last
    cause=disk
    [[ $sectors -gt $((3 * MIB_SECTORS)) ]] || fail image "The image $IMAGE_NAME is too small to be that of a disk."
    modprobe --quiet --all loop dm_mod || true
    memory_device "$WORK/first" && first=$REPLY
    memory_device "$WORK/last" && last=$REPLY
    dmsetup create "$EXPORTED" <<TABLE
0 $MIB_SECTORS linear $first 0
$MIB_SECTORS $((sectors - 2 * MIB_SECTORS)) linear $DISK $MIB_SECTORS
$((sectors - MIB_SECTORS)) $MIB_SECTORS linear $last 0
TABLE
    DEVICE=/dev/$(dmsetup info --columns --noheadings --options blkdevname "$EXPORTED")
}

# memory_device FILE: a MiB of zeros as a device; sets REPLY.
memory_device() {
    truncate -s "$MIB" "$1"
    REPLY=$(losetup --find --show "$1")
}

# Until Dodai says that all is written. Each turn tells which copy may write now, and hears which one shall.
export_disk() {
    local exported=0 turns=0 zeros=false
    make_device
    [[ ! -s $WORK/sparse ]] || zeros=true
    cause=iscsi
    while :; do
        printf '{"copy": %d, "zeros": %s}\n' "$exported" "$zeros" >"$WORK/export.json"
        post export "$WORK/export.json"
        # shellcheck source=/dev/null
        . "$WORK/answer"
        [[ $DODAI_COPIED != yes ]] || break
        if [[ $DODAI_COPY != "$exported" ]]; then
            [[ $exported == 0 ]] || zeros=false
            withdraw
            exported=$DODAI_COPY
            [[ $exported == 0 ]] || offer
            continue
        fi
        [[ $exported == 0 ]] || kill -0 "$worker" || fail iscsi "The program that exports the disk has ended: $(tail -n 1 "$WORK/tgtd")"
        turns=$((turns + 1))
        [[ $((turns % 3)) != 0 ]] || send_new_log
        sleep 1
    done
    withdraw
    release_device
}

# No write of an earlier copy is under way once this has returned: the program is gone, and the kernel waits for its calls.
withdraw() {
    [[ -n $worker ]] || return 0
    kill -KILL -- "-$worker" 2>/dev/null || true
    wait "$worker" 2>/dev/null || true
    worker=
    say "the disk is exported no more"
}

offer() {
    local tries=0
    export TGT_IPC_SOCKET=$WORK/tgtd-socket
    rm -f "$TGT_IPC_SOCKET"*
    set -m
    tgtd --foreground --iscsi "portal=$DODAI_EXPORT_PORTAL" </dev/null >"$WORK/tgtd" 2>&1 &
    worker=$!
    set +m
    until target --op new --mode target --tid 1 --targetname "$DODAI_EXPORT_TARGET" 2>/dev/null; do
        kill -0 "$worker" || tries=50
        [[ $tries -lt 50 ]] || fail iscsi "The disk cannot be exported: $(tail -n 1 "$WORK/tgtd")"
        tries=$((tries + 1))
        sleep 0.1
    done
    target --op new --mode logicalunit --tid 1 --lun 1 --backing-store "$DEVICE"
    # tgtadm takes it no other way, and nobody else runs here who could read a command line.
    target --op new --mode account --user "$DODAI_EXPORT_USER" --password "$DODAI_EXPORT_SECRET"
    target --op bind --mode account --tid 1 --user "$DODAI_EXPORT_USER"
    target --op bind --mode target --tid 1 --initiator-address ALL
    [[ $phase == write ]] || end_phase
    phase="write"
    say "the disk is exported for copy $DODAI_COPY"
}

target() {
    tgtadm --lld iscsi "$@"
}

# All is on the disk but its two ends.
release_device() {
    local last=$(((IMAGE_UNPACKED_BYTES + 511) / 512 * 512 - MIB))
    cause=disk
    blockdev --flushbufs "$DEVICE"
    dmsetup remove --retry "$EXPORTED"
    losetup --detach-all
    dd if="$WORK/last" of="$DISK" bs="$MIB" seek="$last" oflag=direct,seek_bytes conv=notrunc,fsync status=none
    rm -f "$WORK/last"
    blockdev --flushbufs "$DISK"
}
