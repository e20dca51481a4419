#!/bin/bash
# Erases every disk that stays in this machine, and shows by samples that nothing of them is left. Runs in Dodai's
# ramdisk. Nothing is written before the server has granted it (`ask_grant`); the server judges what is reported.

set -Eeuo pipefail

{% include "lib.sh" %}

# A line for each disk of the plan: serial number, WWN, bytes, and the places of its samples, with tabs between them.
readonly PLANNED_DISKS={{ disks | sh }}
readonly SAMPLE_BYTES={{ sample_bytes | int | sh }}

{% include "facts.sh" %}

{% include "disk.sh" %}

{% include "erase/samples.sh" %}

{% include "erase/drives.sh" %}

{% include "erase/disks.sh" %}

{% include "grant.sh" %}

say "erasing"
phase=facts
collect_facts
post event/install "$WORK/facts.json"
cause=disk
choose_disks
DISK=
ask_grant

begin_phase mark
run_worker no_bytes 0 release_disks
run_worker no_bytes 0 each_disk mark_disk
begin_phase erase "$ALL_BYTES"
run_worker erased_bytes "$ALL_BYTES" each_disk erase_disk
end_phase
cause=script
send_log
report_disks
phase=deleted
post event/deleted "$WORK/deleted.json"
say "reported"
