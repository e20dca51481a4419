# The write grant. Who includes this has chosen DISK and collected the facts.

# The first write of any kind comes after this.
ask_grant() {
    jq --arg path "$DISK" '. + {disk: (.disks[] | select(.path == $path))}' "$WORK/facts.json" >"$WORK/grant.json"
    post grant "$WORK/grant.json"
    cp "$WORK/answer" "$WORK/settings"
    DODAI_GRANTED=no
    # shellcheck source=/dev/null
    . "$WORK/settings"
    if [[ $DODAI_GRANTED != yes ]]; then
        say "Dodai did not grant the installation: ${DODAI_REASON:-no reason given}. Nothing was written."
        exit 0
    fi
    say "granted: this machine becomes $DODAI_HOSTNAME"
}
