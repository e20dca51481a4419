# The stream: from the server to the disk, with neither a copy in memory nor scratch space. The first MiB, which makes a
# disk boot, waits in memory until all the rest stands on the disk and has the right digest.

write_image() {
    local -a codes=(0 0 0 0)
    cause=image
    rm -f "$WORK/for-digest"
    mkfifo "$WORK/for-digest"
    openssl dgst -sha256 -r <"$WORK/for-digest" >"$WORK/digest" &
    { widen_pipes 1; download; } | with_digest | { widen_pipes 1; unpack; } | put_on_disk ||
        codes=("${PIPESTATUS[@]}")
    wait "$!" || true
    [[ ! -s $WORK/failure ]] || leave_unbootable
    [[ ${codes[3]} == 0 ]] || { blank_end; fail disk "The disk $DISK does not take the image: writing ended with code ${codes[3]}."; }
    [[ ${codes[2]} == 0 ]] || { blank_end; fail digest "The image $IMAGE_NAME was cut off or damaged on its way: it cannot be \
unpacked. The disk cannot boot."; }
    check_digest
}

# widen_pipes DESCRIPTOR...: these pipes hold a MiB from now on, if the kernel lets them: with 64 KiB each of the programs
# would wait for the next one all the time, and take up to twice as long. 1031 is F_SETPIPE_SZ, which only perl can ask for.
widen_pipes() {
    perl -e 'for (@ARGV) { open(PIPE, ">&=$_") and fcntl(PIPE, 1031, 1 << 20) }' "$@" 2>/dev/null || true
}

# Passes on what comes, to the one who digests it, too. The pipe to him is open all the while: he would take its end for
# the end of the image.
with_digest() {
    exec 3>"$WORK/for-digest"
    widen_pipes 1 3
    tee "$WORK/for-digest"
}

# The words for it are there already.
leave_unbootable() {
    blank_end
    exit 1
}

check_digest() {
    local found written
    read -r found _ <"$WORK/digest"
    written=$(written_bytes)
    [[ $found == "$IMAGE_SHA256" ]] || { blank_end; fail digest "The image $IMAGE_NAME has the SHA-256 $found, the \
catalogue says $IMAGE_SHA256. The disk cannot boot."; }
    [[ $written == "$IMAGE_UNPACKED_BYTES" ]] || { blank_end; fail digest "The image $IMAGE_NAME unpacked to $written \
bytes, not $IMAGE_UNPACKED_BYTES. The disk cannot boot."; }
}

# Goes on where it stopped, as long as bytes come within half an hour.
download() {
    local at=0 got code said pause=1 give_up_at=$((SECONDS + RETRY_SECONDS))
    while [[ $at -lt $IMAGE_BYTES ]]; do
        code=0
        curl --silent --fail --location --continue-at "$at" --connect-timeout 10 --speed-limit 1 --speed-time 60 \
            --write-out '%{stderr}%{size_download} %{http_code} %header{retry-after}' "$IMAGE_URL" 2>"$WORK/curl" || code=$?
        read -r got said <"$WORK/curl" || true
        take_status "$said"
        [[ $code != 23 ]] || return 1 # the one who unpacks has ended; it has the better words
        case $http_status in
        408 | 425 | 429) ;; # too slow, too early, too often: later it may well
        4??) fail fetch "The server answered HTTP $http_status for $IMAGE_URL. The disk cannot boot." ;;
        esac
        [[ $code != 33 ]] || fail fetch "The server cannot go on in the middle of $IMAGE_URL. The disk cannot boot."
        [[ ${got:-0} -eq 0 ]] || { give_up_at=$((SECONDS + RETRY_SECONDS)) pause=1; }
        at=$((at + ${got:-0}))
        [[ $code != 0 || $at -lt $IMAGE_BYTES ]] || break
        [[ $SECONDS -lt $give_up_at ]] ||
            fail fetch "No bytes of $IMAGE_URL in $RETRY_SECONDS s (curl's code $code). The disk cannot boot."
        pause_of "$pause"
        echo "write: curl ended with code $code after $at bytes; going on in $REPLY s" >>"$LOG"
        sleep "$REPLY"
        pause=$((pause * 2 < 30 ? pause * 2 : 30))
    done
}

unpack() {
    case $IMAGE_KIND in
    raw) exec cat ;;
    raw.gz) exec gzip -dc ;;
    raw.zst) exec zstd --decompress --stdout --quiet ;;
    *) fail image "The image $IMAGE_NAME is of the kind $IMAGE_KIND, which this script does not know." ;;
    esac
}

# The first MiB into memory, the rest to its place. Past the cache: so memory stays free, and nothing is flushed at the end.
put_on_disk() {
    local flags=notrunc,fdatasync
    [[ ! -s $WORK/sparse ]] || flags+=,sparse
    dd bs=65536 count=16 iflag=fullblock of="$WORK/first" status=none || return 1
    echo "$BASHPID" >"$WORK/writer"
    dd bs="$MIB" seek=1 iflag=fullblock oflag=direct conv="$flags" of="$DISK" 2>"$WORK/dd" || {
        cat "$WORK/dd" >>"$LOG"
        return 1
    }
}

# How far the disk is written.
written_bytes() {
    local pid
    if [[ -s $WORK/dd ]]; then
        awk -v first="$(stat -c %s "$WORK/first")" '/ bytes? / { print first + $1 }' "$WORK/dd"
        return
    fi
    pid=$(cat "$WORK/writer" 2>/dev/null) || pid=0
    pid=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) || pid=
    awk '/^pos:/ { print $2; found = 1 } END { if (!found) print 0 }' "/proc/${pid%% *}/fdinfo/1" 2>/dev/null || echo 0
}
