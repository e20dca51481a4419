#!/bin/sh
# Stands between an installer that is not ours and the disk: it says who this machine is, gets the answers, and asks for the
# grant before anything is written. Runs in the installer's own system, so only sh, sed, awk, tr and wget or curl are used.
#
#   sh /tmp/dodai answers FILE    early in Debian's installer, before it has loaded drivers of disks
#   sh /tmp/dodai grant           there, once its disks are known; nothing was written so far
#   sh /tmp/dodai all FILE        both at once, where the disks are known from the start
#   sh /tmp/dodai phase NAME      how far the installer is
#   sh /tmp/dodai late ROOT       at its end: keys, and what calls Dodai at the first boot of the system in ROOT

# shellcheck disable=SC2100 # a serial number like DISK-1 is no sum

SERVER={{ server | sh }}
PLANNED_SERIAL={{ disk.serial | sh }}
PLANNED_WWN={{ disk.wwn | sh }}
WORK=/tmp/dodai.d
RETRY_SECONDS=1800

umask 077
LC_ALL=C
export LC_ALL
mkdir -p "$WORK"
# Passed by file: a command line can be read by every process.
printf 'header = Authorization: Bearer %s\n' {{ token | sh }} >"$WORK/wgetrc"
printf 'header = "Authorization: Bearer %s"\n' {{ token | sh }} >"$WORK/curlrc"

{% include "installer/facts.sh" %}

{% include "installer/speak.sh" %}

{% include "installer/late.sh" %}

# Nothing may be written any more: the installer must not go on, whatever it is told.
halt_here() {
    say "$1"
    sleep 10
    poweroff -f 2>/dev/null || poweroff 2>/dev/null
    while :; do sleep 3600; done
}

identify() {
    collect_facts
    post event/install "$WORK/facts.json"
}

# get_answers FILE
get_answers() {
    post answers "$WORK/facts.json"
    DODAI_GIVEN=no
    # shellcheck source=/dev/null
    . "$ANSWER"
    [ "$DODAI_GIVEN" = yes ] || halt_here "Dodai gives no answers: ${DODAI_REASON:-no reason told}. Nothing was written."
    printf '%s' "$DODAI_ANSWERS" >"$1"
    printf '%s' "$DODAI_BEFORE" >"$WORK/before"
    say "answers received"
}

ask_grant() {
    collect_facts
    choose_disk
    disk_facts "$DISK" >"$WORK/disk.json"
    sed 's/}$//' "$WORK/facts.json" >"$WORK/grant.json"
    printf ',"disk":%s}' "$(cat "$WORK/disk.json")" >>"$WORK/grant.json"
    post grant "$WORK/grant.json"
    cp "$ANSWER" "$WORK/settings"
    DODAI_GRANTED=no
    # shellcheck source=/dev/null
    . "$WORK/settings"
    [ "$DODAI_GRANTED" = yes ] || halt_here "Dodai did not grant the installation: ${DODAI_REASON:-no reason told}. Nothing was written."
    find_link
    printf 'DISK=%s\nDISK_ID=%s\n' "$DISK" "$DISK_ID" >"$WORK/granted"
    say "granted: $DODAI_HOSTNAME may be written to $DISK_ID ($DISK)"
    phase partition
}

# The names of the granted disk, where the answers have a word for them.
put_disk() {
    sed -e "s|@DODAI-DISK@|$DISK_ID|g" -e "s|@DODAI-DISK-NODE@|$DISK|g" "$1" >"$WORK/put" && cat "$WORK/put" >"$1"
}

# partman-auto knows disks by their nodes. What is set here comes after all that was in any file.
tell_debconf() {
    grep '@DODAI-DISK' /tmp/dodai.cfg >"$WORK/disk.cfg"
    put_disk "$WORK/disk.cfg"
    debconf-set-selections "$WORK/disk.cfg"
    debconf-set partman-auto/disk "$DISK"
    debconf-set grub-installer/bootdev "$DISK"
}

# Hooks of Debian's installer: each is run when it gets there.
add_hook() {
    mkdir -p "/usr/lib/$1"
    printf '#!/bin/sh\nsh /tmp/dodai phase %s >/dev/null 2>&1 </dev/null || true\nexit 0\n' "$2" >"/usr/lib/$1/01dodai"
    chmod 755 "/usr/lib/$1/01dodai"
}

before_failed() {
    fail script "a command of the answer file, to be run before the installation, failed"
}

run_before() {
    [ -s "$WORK/before" ] || return 0
    put_disk "$WORK/before"
    # shellcheck source=/dev/null
    . "$WORK/before" >>"$WORK/before.log" 2>&1 </dev/null
}

case $1 in
answers)
    identify
    get_answers "$2"
    add_hook base-installer.d base
    add_hook pre-pkgsel.d packages
    start_beat
    ;;
grant)
    ask_grant
    tell_debconf
    ;;
all)
    identify
    get_answers "$2"
    ask_grant
    put_disk "$2"
    start_beat
    run_before
    ;;
phase) phase "$2" ;;
beat) beat ;;
late)
    # shellcheck source=/dev/null
    . "$WORK/settings"
    finish "$2"
    ;;
esac
