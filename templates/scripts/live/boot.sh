#!/bin/bash
# Puts a system together in memory and hands over to it. Runs in Dodai's ramdisk, at every boot. Writes no disk.

set -Eeuo pipefail

{% include "lib.sh" %}

readonly IMAGE_URL={{ image.url | sh }}
readonly IMAGE_SHA256={{ image.sha256 | sh }}
readonly IMAGE_BYTES={{ image.size_bytes | int | sh }}
readonly IMAGE_NAME={{ image.name | sh }}
readonly ROOT=/run/live/root
readonly MIB=1048576

{% include "facts.sh" %}

{% include "fetch.sh" %}

{% include "system.sh" %}

# An install is told how it goes; later boots of the same system are not. Which this is only a clear answer says.
begin() {
    local pause=1
    AGAIN=yes
    while [[ $SECONDS -lt $RETRY_SECONDS ]]; do
        call event/install "$WORK/facts.json"
        case $http_status in
        2??)
            AGAIN=no
            return
            ;;
        408 | 425 | 429) ;; # too slow, too early, too often: later it may well
        4??) return ;;
        esac
        pause_of "$pause"
        say "no answer to event/install (HTTP $http_status); again in $REPLY s"
        sleep "$REPLY"
        pause=$((pause * 2 < 30 ? pause * 2 : 30))
    done
}

# A machine that may have the settings is the one of the inventory; the others are told why not.
ask_settings() {
    post settings "$WORK/facts.json"
    cp "$WORK/answer" "$WORK/settings"
    DODAI_GRANTED=no
    # shellcheck source=/dev/null
    . "$WORK/settings"
    if [[ $DODAI_GRANTED != yes ]]; then
        say "Dodai does not start a system here: ${DODAI_REASON:-no reason given}."
        exit 0
    fi
}

# step PHASE BYTES MEASURE COMMAND
step() {
    if [[ $AGAIN == yes ]]; then
        say "$1"
        ("$4") >>"$LOG" 2>&1
        return
    fi
    begin_phase "$1" "$2"
    run_worker "$3" "$2" "$4"
    report_progress "$2" "$2"
}

place_in_memory() {
    local available
    available=$(($(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo) * 1024))
    [[ $((IMAGE_BYTES + 64 * MIB)) -le $available ]] || fail memory "The image $IMAGE_NAME takes $((IMAGE_BYTES / MIB)) MiB, \
the ramdisk has $((available / MIB)) MiB of memory left."
    mkdir -p /run/live/image
    mount -t tmpfs -o "size=$((IMAGE_BYTES + MIB)),mode=700" tmpfs /run/live/image
    IMAGE=/run/live/image/image
}

# The squashfs below, memory above; with the modules of the kernel that runs, whatever kernel the image is of.
put_together() {
    cause=image
    modprobe --quiet --all loop squashfs overlay || true
    mkdir -p /run/live/lower /run/live/upper "$ROOT"
    mount -t squashfs -o loop,ro "$IMAGE" /run/live/lower
    mount -t tmpfs -o mode=755 tmpfs /run/live/upper
    mkdir -p /run/live/upper/data /run/live/upper/work
    chmod 755 /run/live/upper/data
    mount -t overlay -o lowerdir=/run/live/lower,upperdir=/run/live/upper/data,workdir=/run/live/upper/work overlay "$ROOT"
    in_tree /sbin/init || in_tree /usr/lib/systemd/systemd || fail image "The image $IMAGE_NAME has no /sbin/init."
    folder_of /lib/modules
    rm -rf "${REPLY:?}/$(uname -r)"
    cp -a "/usr/lib/modules/$(uname -r)" "$REPLY/"
}

configure_system() {
    cause=image
    put_together
    set_up_system
    printf '# Written by Dodai: this system runs from memory.\n' | put 644 /etc/fstab
}

say "starting $IMAGE_NAME"
phase=facts
collect_facts
begin
cause=script
ask_settings
cause=fetch
place_in_memory
step fetch "$IMAGE_BYTES" fetched_bytes fetch_image
step verify "$IMAGE_BYTES" hashed_bytes hash_image
check_digest
step configure 0 no_bytes configure_system
if [[ $AGAIN == no ]]; then
    end_phase
    send_log
fi
echo "$ROOT" >"$WORK/new-root"
say "handing over to $DODAI_HOSTNAME"
