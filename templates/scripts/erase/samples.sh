# Samples of the disk DISK, SAMPLE_BYTES each, at the places OFFSETS; always past the cache. Numbers are bash's, of 64 bits.

# read_samples FILE: one after the other; zeros, and a place in UNREAD, for what cannot be read.
read_samples() {
    local offset number=0
    UNREAD=
    : >"$1"
    for offset in $OFFSETS; do
        number=$((number + 1))
        dd if="$DISK" bs="$SAMPLE_BYTES" skip="$offset" count=1 iflag=skip_bytes,fullblock,direct status=none >>"$1" || true
        # dd calls it no failure when the disk ends before that place.
        if [[ $(stat -c %s "$1") != $((number * SAMPLE_BYTES)) ]]; then
            UNREAD+=" $offset"
            truncate -s $((number * SAMPLE_BYTES)) "$1"
        fi
    done
}

# write_samples FILE: what read_samples would read back.
write_samples() {
    local offset number=0
    for offset in $OFFSETS; do
        dd if="$1" of="$DISK" bs="$SAMPLE_BYTES" skip="$number" seek="$offset" count=1 oflag=seek_bytes,direct \
            conv=nocreat,notrunc,fsync status=none || true
        number=$((number + 1))
    done
}

# Prints how many samples of a file hold anything but zeros.
other_than_zeros() {
    # shellcheck disable=SC2016 # the dollars are perl's
    perl -e '$/ = \shift; while (<STDIN>) { $count++ if /[^\0]/ } print $count + 0' "$SAMPLE_BYTES" <"$1"
}

# same_samples ONE OTHER: prints how many are the same in both.
same_samples() {
    # shellcheck disable=SC2016
    perl -e '$/ = \shift; open $one, "<", shift or die; open $other, "<", shift or die;
        while (<$one>) { $count++ if $_ eq <$other> } print $count + 0' "$SAMPLE_BYTES" "$1" "$2"
}

# Prints the byte that erased samples have here, 00 or ff, and how many samples have anything else.
pattern_of() {
    # shellcheck disable=SC2016
    perl -e '$/ = \shift; while (<STDIN>) { $all++; $zeros++ unless /[^\0]/; $ones++ unless /[^\xff]/ }
        printf "%s %d\n", $ones > $zeros ? ("ff", $all - $ones) : ("00", $all - $zeros)' "$SAMPLE_BYTES" <"$1"
}
