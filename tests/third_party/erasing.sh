#!/bin/bash
# Writes zeros over the disk. Nothing is written before the server has granted it (`ask_grant`).

set -Eeuo pipefail

{% include "lib.sh" %}

readonly PLANNED_SERIAL={{ disk.serial | sh }}
readonly PLANNED_WWN={{ disk.wwn | sh }}
readonly PASSES={{ passes | int | sh }}

{% include "facts.sh" %}

{% include "disk.sh" %}

{% include "grant.sh" %}

write_zeros() {
    local pass
    for ((pass = 0; pass < PASSES; pass++)); do
        blkdiscard --force --zeroout "$DISK"
    done
}

phase=facts
collect_facts
post event/install "$WORK/facts.json"
choose_disk
ask_grant
release_disk
begin_phase zeros
run_worker no_bytes 0 write_zeros
end_phase
send_log
echo '{}' >"$WORK/done.json"
phase=erased
post event/erased "$WORK/done.json"
say "erased"
