# The end of what writes a disk: everything is on it.

finish() {
    end_phase
    send_log
    jq -n --arg boot_order "$BOOT_ORDER_TEXT" --argjson seconds "{$phases_json}" '{$boot_order, $seconds}' >"$WORK/done.json"
    phase=install_reboot
    post event/install_reboot "$WORK/done.json"
    # A machine without a BMC has nobody else to restart it.
    if [[ ${DODAI_RESTART_ITSELF:-no} == yes ]]; then
        say "installed; restarting"
        sleep 1
        reboot -f
    fi
    say "installed; waiting for the restart"
}
