#!/bin/bash
# Looks at this machine and tells Dodai what it found. Reads only: mounts, assembles and writes nothing.

set -Eeuo pipefail

{% include "lib.sh" %}

{% include "facts.sh" %}

# A card tells its link and speed only while it is up.
bring_links_up() {
    local path waiting=1 tries=0
    for path in /sys/class/net/*; do
        [[ ! -e $path/device ]] || ip link set "${path##*/}" up || true
    done
    while [[ $waiting == 1 && $tries -lt 30 ]]; do
        waiting=0
        for path in /sys/class/net/*; do
            line_of "$path/carrier"
            [[ ! -e $path/device || $REPLY == 1 ]] || waiting=1
        done
        tries=$((tries + 1))
        [[ $waiting == 0 ]] || sleep 0.1
    done
}

say "inspection"
bring_links_up
collect_facts
post event/inspected "$WORK/facts.json"
say "inspected: $(wc -l <"$WORK/disks.tsv") disks, $(wc -l <"$WORK/interfaces.tsv") network cards"
