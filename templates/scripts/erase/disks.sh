# All disks of the plan, side by side. What is found out about each lies in a folder of its own.

# Finds each disk of the plan, by its numbers only.
choose_disks() {
    local number=0 planned bytes
    ALL_BYTES=0
    while IFS= read -r planned; do
        [[ -n $planned ]] || continue # of a machine without disks
        number=$((number + 1))
        HOME_OF_DISK=$WORK/disks/$number
        mkdir -p "$HOME_OF_DISK"
        # Not `read` with a tab as separator: it would swallow an empty field.
        PLANNED_SERIAL=${planned%%"$TAB"*} planned=${planned#*"$TAB"}
        PLANNED_WWN=${planned%%"$TAB"*} planned=${planned#*"$TAB"}
        bytes=${planned%%"$TAB"*}
        choose_disk
        printf '%s\n' "$DISK" "$PLANNED_SERIAL" "$PLANNED_WWN" "$bytes" "${planned#*"$TAB"}" >"$HOME_OF_DISK/planned"
        known_as "$WORK/disks.tsv" >"$HOME_OF_DISK/known"
        ALL_BYTES=$((ALL_BYTES + bytes))
    done <<<"$PLANNED_DISKS"
    readonly ALL_BYTES
}

# What the kernel says of DISK: its path, numbers and bytes.
known_as() {
    grep -F -- "$DISK$TAB" "$1" | cut -f 1-4 | head -n 1
}

# each_disk COMMAND: for all of them at once. One that fails stops no other; its report shows it.
each_disk() {
    local folder
    set +m
    for folder in "$WORK"/disks/*; do
        [[ -d $folder ]] || continue
        (take_disk "$folder" && "$1") || echo "$1: disk ${folder##*/} failed" &
    done
    wait
}

# take_disk FOLDER: sets DISK, SERIAL, WWN, BYTES and OFFSETS.
take_disk() {
    HOME_OF_DISK=$1
    { read -r DISK && IFS= read -r SERIAL && IFS= read -r WWN && read -r BYTES && read -r OFFSETS; } <"$1/planned"
}

release_disks() {
    local folder
    cause=busy
    for folder in "$WORK"/disks/*; do
        [[ -d $folder ]] || continue
        take_disk "$folder"
        release_disk
    done
}

# Random bytes at the places of all samples: a drive that does nothing, and says that it did, cannot pass for one whose
# samples happened to be empty.
mark_disk() {
    read_samples "$HOME_OF_DISK/before"
    echo "$UNREAD" >"$HOME_OF_DISK/unread-before"
    head -c "$(stat -c %s "$HOME_OF_DISK/before")" /dev/urandom >"$HOME_OF_DISK/random"
    write_samples "$HOME_OF_DISK/random"
    read_samples "$HOME_OF_DISK/marked"
    same_samples "$HOME_OF_DISK/random" "$HOME_OF_DISK/marked" >"$HOME_OF_DISK/marks"
}

# By the best method that works. After one that is done and left its marks nothing more is believed.
erase_disk() {
    local method
    uptime_hundredths
    BEGAN=$REPLY
    alone_on_controller
    look_at_drive
    echo "$SAID" >"$HOME_OF_DISK/said"
    for method in $METHODS; do
        [[ " $OFFERED " == *" $method "* ]] || continue
        is_there || { note_try "$method" "not tried: the drive is not there any more"; break; }
        echo "$SERIAL: $method"
        if ! run_method "$method" >"$HOME_OF_DISK/words" 2>&1; then
            note_try "$method" "failed: $(last_words)"
            continue
        fi
        ! is_erased "$method" || break
        [[ $KEPT == 0 ]] || break
    done
    echo "$BYTES" >"$HOME_OF_DISK/done"
}

# Not another one at its place, either.
is_there() {
    list_disks >"$HOME_OF_DISK/disks.tsv"
    [[ $(known_as "$HOME_OF_DISK/disks.tsv") == "$(<"$HOME_OF_DISK/known")" ]]
}

# Namespaces of one NVMe controller are erased one after the other: some commands reach all of them.
alone_on_controller() {
    local name=${DISK##*/} lock
    [[ $name == nvme* ]] || return 0
    exec {lock}>"$WORK/lock-${name%n[0-9]*}"
    flock "$lock"
}

last_words() {
    tail -c 300 "$HOME_OF_DISK/words" | tr -s '[:space:][:cntrl:]' ' '
}

note_try() {
    jq -nc --arg method "$1" --arg words "$2" '{$method, words: $words[0:400]}' >>"$HOME_OF_DISK/tried"
}

# is_erased METHOD: by samples, whatever the drive said. Sets KEPT: how many marks are still there.
is_erased() {
    local pattern bad unread marks
    read_samples "$HOME_OF_DISK/after"
    unread=$(wc -w <<<"$UNREAD")
    read -r pattern bad < <(pattern_of "$HOME_OF_DISK/after")
    KEPT=$(same_samples "$HOME_OF_DISK/random" "$HOME_OF_DISK/after")
    marks=0
    [[ ! -s $HOME_OF_DISK/marks ]] || marks=$(<"$HOME_OF_DISK/marks")
    uptime_hundredths
    bad=$((bad + unread))
    jq -n --arg method "$1" --arg pattern "$pattern" --argjson bad_after "$bad" --argjson kept "$KEPT" \
        --argjson marked "$marks" --argjson unread_after "$unread" --arg words "$(last_words)" \
        --argjson seconds $(((REPLY - BEGAN) / 100)) --argjson unread_before "$(wc -w <"$HOME_OF_DISK/unread-before")" \
        --argjson non_zero_before "$(other_than_zeros "$HOME_OF_DISK/before")" --argjson samples "$(wc -w <<<"$OFFSETS")" \
        --arg after_sha256 "$(openssl dgst -sha256 -r <"$HOME_OF_DISK/after" | cut -c 1-64)" \
        --argjson is_there "$(is_there && echo true || echo false)" \
        '$ARGS.named' >"$HOME_OF_DISK/outcome"
    [[ $KEPT == 0 ]] || { note_try "$1" "reported as done, but $KEPT of the marks are still there"; return 1; }
    [[ $bad == 0 ]] || { note_try "$1" "reported as done, but $bad samples are not erased ($unread unreadable)"; return 1; }
    note_try "$1" "done, and all samples are erased"
}

erased_bytes() {
    cat "$WORK"/disks/*/done 2>/dev/null | perl -ne '$all += $_; END { print $all + 0 }'
}

# $WORK/deleted.json: of each disk of the plan, also of one that ended without a word.
report_disks() {
    local folder
    for folder in "$WORK"/disks/*; do
        [[ -d $folder ]] || continue
        take_disk "$folder"
        touch "$folder/tried" "$folder/said"
        [[ -s $folder/outcome ]] || echo '{"method": ""}' >"$folder/outcome"
        jq --arg serial "$SERIAL" --arg wwn "$WWN" --arg path "$DISK" --argjson size_bytes "$BYTES" \
            --rawfile said "$folder/said" --slurpfile tried "$folder/tried" \
            '. + {$serial, $wwn, $path, $size_bytes, drive: ($said | rtrimstr("\n")), $tried}' "$folder/outcome"
    done | jq -s '{disks: .}' >"$WORK/deleted.json"
}
