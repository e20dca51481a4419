# The write grant. Who includes this has collected the facts, and chosen DISK: empty for all disks of the plan.

# The first write of any kind comes after this.
ask_grant() {
    jq --arg path "$DISK" '. + ([.disks[] | select(.path == $path) | {disk: .}] | add // {})' "$WORK/facts.json" >"$WORK/grant.json"
    post grant "$WORK/grant.json"
    cp "$WORK/answer" "$WORK/settings"
    DODAI_GRANTED=no
    # shellcheck source=/dev/null
    . "$WORK/settings"
    if [[ $DODAI_GRANTED != yes ]]; then
        say "Dodai did not grant this: ${DODAI_REASON:-no reason given}. Nothing was written."
        exit 0
    fi
    say "granted${DODAI_HOSTNAME:+: this machine becomes $DODAI_HOSTNAME}"
}
