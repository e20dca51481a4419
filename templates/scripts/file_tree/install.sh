#!/bin/bash
# Copies a file tree onto this machine's disk and makes it boot. Runs in Dodai's ramdisk.
# Nothing is written before the server has granted it (`ask_grant`); nothing of the image is ever run.

set -Eeuo pipefail

{% include "lib.sh" %}

readonly IMAGE_URL={{ image.url | sh }}
readonly IMAGE_SHA256={{ image.sha256 | sh }}
readonly IMAGE_BYTES={{ image.size_bytes | int | sh }}
readonly IMAGE_UNPACKED_BYTES={{ image.unpacked_bytes | int | sh }}
readonly IMAGE_HAS_ATTRIBUTES={{ 'yes' if image.has_attributes | default(true) else 'no' }}
readonly IMAGE_KIND={{ image.kind | sh }}
readonly IMAGE_NAME={{ image.name | sh }}
readonly IMAGE_LABEL=${IMAGE_NAME//[^A-Za-z0-9 ._+-]/_}
readonly PLANNED_SERIAL={{ disk.serial | sh }}
readonly PLANNED_WWN={{ disk.wwn | sh }}
readonly ROOT=/mnt/root
readonly ESP=/mnt/esp

{% include "facts.sh" %}

{% include "file_tree/disk.sh" %}

{% include "file_tree/image.sh" %}

{% include "file_tree/configure.sh" %}

{% include "file_tree/bootloader.sh" %}

readonly ESP_NUMBER=2

{% include "boot_order.sh" %}

{% include "grant.sh" %}

{% include "finish.sh" %}

say "installing $IMAGE_NAME"
phase=facts
collect_facts
post event/install "$WORK/facts.json"
cause=disk
choose_disk
IMAGE=
if fits_memory; then
    place_in_memory
    fetch_and_check
fi
cause=script
ask_grant
cause=disk
plan_partitions
number_partitions

begin_phase partition
run_worker no_bytes 0 prepare_disk
cause=disk
mount_new_system
ROOT_UUID=$(uuid_of "${PART}3")

need_space "$ROOT" "$IMAGE_UNPACKED_BYTES" "the unpacked image"
if [[ -z $IMAGE ]]; then
    place_on_disk
    fetch_and_check
fi

begin_phase copy "$IMAGE_UNPACKED_BYTES"
used_before=$(used_bytes "$ROOT")
run_worker copied_bytes "$IMAGE_UNPACKED_BYTES" copy_image
remove_image
report_progress "$(copied_bytes)" "$IMAGE_UNPACKED_BYTES"

begin_phase configure
configure_system

begin_phase bootloader
cause=bootloader
find_kernel
check_kernel_arguments
write_grub_configuration
run_worker no_bytes 0 install_grub
set_boot_order
cause=disk
run_worker no_bytes 0 unmount_all
finish
