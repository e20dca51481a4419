#!/bin/bash
# Streams the image of a whole disk onto this machine's disk and makes the system on it this machine's own. Runs in
# Dodai's ramdisk. Nothing is written before the server has granted it (`ask_grant`); nothing of the image is ever run.

set -Eeuo pipefail

{% include "lib.sh" %}

readonly IMAGE_URL={{ image.url | sh }}
readonly IMAGE_SHA256={{ image.sha256 | sh }}
readonly IMAGE_BYTES={{ image.size_bytes | int | sh }}
readonly IMAGE_KIND={{ image.kind | sh }}

{% include "disk_image/planned.sh" %}

{% include "facts.sh" %}

{% include "disk.sh" %}

{% include "disk_image/place.sh" %}

{% include "disk_image/stream.sh" %}

{% include "disk_image/grow.sh" %}

{% include "system.sh" %}

{% include "disk_image/cloud.sh" %}

{% include "boot_order.sh" %}

{% include "grant.sh" %}

{% include "finish.sh" %}

say "installing $IMAGE_NAME"
phase=facts
collect_facts
post event/install "$WORK/facts.json"
cause=disk
choose_disk
check_disk
cause=script
ask_grant

begin_phase clear
run_worker no_bytes 0 clear_disk
begin_phase write "$IMAGE_UNPACKED_BYTES"
run_worker written_bytes "$IMAGE_UNPACKED_BYTES" write_image
report_progress "$IMAGE_UNPACKED_BYTES" "$IMAGE_UNPACKED_BYTES"
begin_phase verify
run_worker no_bytes 0 verify_image

begin_phase grow
run_worker no_bytes 0 make_bootable
cause=image
find_root
run_worker no_bytes 0 grow_root

begin_phase configure
mount_root
set_up
find_esp
set_boot_order
cause=disk
run_worker no_bytes 0 unmount_all
finish
