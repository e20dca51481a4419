# What drives can do to erase themselves, and doing it. Each method returns whether it was done, by the drive's own word.

# The best first. What a drive offers of them is in OFFERED.
readonly METHODS='nvme-sanitize-block nvme-sanitize-crypto nvme-format nvme-format-crypto ata-enhanced ata-secure discard overwrite'
# No secret: whoever finds a drive that is locked, as its power was cut in between, opens it with this word.
readonly ATA_WORD=dodai
readonly CHUNK=$((256 * MIB))

# Sets OFFERED, and SAID: what the drive says of itself, in words.
look_at_drive() {
    OFFERED=''
    SAID=''
    case ${DISK##*/} in
    nvme*) look_at_nvme ;;
    sd*) look_at_ata ;;
    esac
    if [[ $(queue_says discard_max_bytes) -gt 0 && $(queue_says write_zeroes_max_bytes) -gt 0 ]]; then
        OFFERED+=' discard'
    fi
    OFFERED+=' overwrite'
    SAID=${SAID:-the drive reports no command that erases it}
}

queue_says() {
    line_of "/sys/block/${DISK##*/}/queue/$1"
    echo "${REPLY:-0}"
}

# Identify Controller of NVM Express: OACS (bit 1: format), SANICAP (block and crypto erase), FNA (bit 2: crypto).
look_at_nvme() {
    local format sanitize crypto
    # shellcheck disable=SC2016 # the dollar is perl's
    read -r format sanitize crypto < <(timeout 60 nvme id-ctrl "$DISK" --raw-binary | perl -e 'read(STDIN, $_, 4096) == 4096 or exit 1;
        printf "%d %d %d\n", unpack("v", substr $_, 256, 2) & 2, unpack("V", substr $_, 328, 4), unpack("C", substr $_, 524, 1) & 4') || true
    [[ -n ${crypto:-} ]] || { SAID='the drive does not say what it is'; return 0; }
    [[ $((sanitize & 2)) == 0 ]] || OFFERED+=' nvme-sanitize-block'
    [[ $((sanitize & 1)) == 0 ]] || OFFERED+=' nvme-sanitize-crypto'
    [[ $format == 0 ]] || OFFERED+=' nvme-format'
    [[ $format == 0 || $crypto == 0 ]] || OFFERED+=' nvme-format-crypto'
    SAID=${OFFERED:+NVMe offers$OFFERED}
}

# Most firmware freezes the security of its drives at each start: that is said, and the next method taken.
look_at_ata() {
    read_security
    if ata_is enabled; then # by an attempt that ended in between; anybody else's word is not ours to know
        hdparm --user-master u --security-unlock "$ATA_WORD" "$DISK" || true
        hdparm --user-master u --security-disable "$ATA_WORD" "$DISK" || true
        read_security
    fi
    ata_is supported || return 0
    SAID="ATA security is $(paste -s -d ',' <<<"$SECURITY" | head -c 200)"
    ata_is 'not enabled' && ata_is 'not locked' && ata_is 'not frozen' || return 0
    ! ata_is 'supported: enhanced erase' || OFFERED+=' ata-enhanced'
    OFFERED+=' ata-secure'
}

read_security() {
    SECURITY=$(timeout 60 hdparm -I "$DISK" | awk '/^Security:/ { inside = 1; next } /^[^ \t]/ { inside = 0 }
        inside { gsub(/[ \t]+/, " "); sub(/^ /, ""); sub(/ $/, ""); print }') || SECURITY=
}

ata_is() {
    grep -qxF -- "$1" <<<"$SECURITY"
}

run_method() {
    case $1 in
    nvme-sanitize-block) nvme sanitize "$DISK" --sanact=2 && await_sanitized ;;
    nvme-sanitize-crypto) nvme sanitize "$DISK" --sanact=4 && await_sanitized ;;
    nvme-format) nvme format "$DISK" --ses=1 --force --timeout=7200000 ;;
    nvme-format-crypto) nvme format "$DISK" --ses=2 --force --timeout=7200000 ;;
    ata-enhanced) erase_ata --security-erase-enhanced ;;
    ata-secure) erase_ata --security-erase ;;
    discard) discard_all ;;
    overwrite) overwrite_all ;;
    esac
}

# Its log page 0x81: progress in 65536ths, and how the newest one stands.
await_sanitized() {
    local progress status failures=0
    while [[ $failures -lt 5 ]]; do
        sleep "$LOOK_SECONDS"
        # shellcheck disable=SC2016 # the dollar is perl's
        read -r progress status < <(timeout 60 nvme get-log "$DISK" --log-id=0x81 --log-len=20 --raw-binary |
            perl -e 'read(STDIN, $_, 4) == 4 or exit 1; printf "%d %d\n", unpack("v", $_), unpack("x2v", $_) & 7') || true
        case ${status:-} in
        1 | 4) return 0 ;;
        2) failures=0 && echo $((BYTES * progress / 65536)) >"$HOME_OF_DISK/done" ;;
        3) echo "the drive says that sanitizing failed"; return 1 ;;
        *) failures=$((failures + 1)) ;;
        esac
    done
    echo "the drive does not say how sanitizing goes"
    return 1
}

LOOK_SECONDS=2

erase_ata() {
    hdparm --user-master u --security-set-pass "$ATA_WORD" "$DISK" || return 1
    hdparm --user-master u "$1" "$ATA_WORD" "$DISK" && return 0
    hdparm --user-master u --security-disable "$ATA_WORD" "$DISK" || true
    return 1
}

# A discard alone promises nothing. The kernel vouches for zeros, and has the drive write them by itself.
discard_all() {
    blkdiscard --force "$DISK" || true
    blkdiscard --force --zeroout "$DISK"
}

overwrite_all() {
    local at=0 length
    while [[ $at -lt $BYTES ]]; do
        length=$((BYTES - at < CHUNK ? BYTES - at : CHUNK))
        dd if=/dev/zero of="$DISK" bs="$MIB" count="$length" seek="$at" iflag=count_bytes oflag=seek_bytes,direct \
            conv=nocreat,notrunc,fsync status=none || return 1
        at=$((at + length))
        echo "$at" >"$HOME_OF_DISK/done"
    done
}
