# What this machine is, as facts.sh of the ramdisk tells it, with the programs that every installer has.

# The first line of a file, without control characters and outer spaces; sets REPLY.
line_of() {
    REPLY=$(head -n 1 "$1" 2>/dev/null | tr -c '\040-\176' ' ' | sed 's/^ *//; s/ *$//')
}

# As a JSON string.
quoted() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

# A SCSI disk tells its serial number in the vital product data page 0x80, after four bytes (SPC-4, 7.7.3).
serial_of() {
    line_of "$1/device/serial"
    [ -n "$REPLY" ] || line_of "$1/serial"
    if [ -z "$REPLY" ] && [ -r "$1/device/vpd_pg80" ]; then
        REPLY=$(tail -c +5 "$1/device/vpd_pg80" 2>/dev/null | tr -c '\040-\176' ' ' | sed 's/^ *//; s/ *$//')
    fi
}

wwn_of() {
    line_of "$1/wwid"
    [ -n "$REPLY" ] || line_of "$1/device/wwid"
    case $REPLY in
    naa.*) REPLY=0x${REPLY#naa.} ;;
    t10.*) REPLY= ;;
    esac
}

# Prints /dev/sda and the like, a line each.
disk_nodes() {
    for block in /sys/block/*; do
        name=${block##*/}
        case $name in sr* | fd* | mtd* | loop* | ram* | zram* | *boot[0-9] | *rpmb) continue ;; esac
        node=/dev/$(printf %s "$name" | tr '!' '/')
        [ -e "$block/device" ] || continue
        [ -b "$node" ] || continue
        line_of "$block/size"
        [ "${REPLY:-0}" -gt 0 ] && echo "$node"
    done
}

block_of() {
    printf '/sys/block/%s' "$(printf %s "${1#/dev/}" | tr '/' '!')"
}

# One disk as JSON.
disk_facts() {
    block=$(block_of "$1")
    printf '{"path":%s' "$(quoted "$1")"
    serial_of "$block"
    printf ',"serial":%s' "$(quoted "$REPLY")"
    wwn_of "$block"
    printf ',"wwn":%s' "$(quoted "$REPLY")"
    line_of "$block/device/model"
    printf ',"model":%s' "$(quoted "$REPLY")"
    line_of "$block/size"
    printf ',"size_bytes":%s}' "$((REPLY * 512))"
}

interface_facts() {
    comma=
    for card in /sys/class/net/*; do
        [ -e "$card/device" ] || continue
        line_of "$card/address"
        printf '%s{"name":%s,"mac":%s}' "$comma" "$(quoted "${card##*/}")" "$(quoted "$REPLY")"
        comma=,
    done
}

all_disk_facts() {
    comma=
    for node in $(disk_nodes); do
        printf '%s' "$comma"
        disk_facts "$node"
        comma=,
    done
}

collect_facts() {
    firmware=bios
    [ ! -d /sys/firmware/efi ] || firmware=uefi
    {
        printf '{"boot_id":%s' "$(quoted "$(cat /proc/sys/kernel/random/boot_id)")"
        printf ',"firmware":"%s"' "$firmware"
        line_of /sys/class/dmi/id/product_uuid
        printf ',"uuid":%s' "$(quoted "$REPLY")"
        line_of /sys/class/dmi/id/product_serial
        printf ',"serial":%s' "$(quoted "$REPLY")"
        printf ',"interfaces":[%s],"disks":[%s]}' "$(interface_facts)" "$(all_disk_facts)"
    } >"$WORK/facts.json"
}

# The disk of the plan, and no other; sets DISK.
choose_disk() {
    [ -n "$PLANNED_SERIAL$PLANNED_WWN" ] || fail disk "the plan names no serial number and no WWN of a disk"
    DISK=
    for candidate in $(disk_nodes); do
        block=$(block_of "$candidate")
        serial_of "$block"
        [ -z "$PLANNED_SERIAL" ] || [ "$REPLY" = "$PLANNED_SERIAL" ] || continue
        wwn_of "$block"
        [ -z "$PLANNED_WWN" ] || [ "$REPLY" = "$PLANNED_WWN" ] || continue
        [ -z "$DISK" ] || fail disk "more than one disk has serial number ${PLANNED_SERIAL:-?}, WWN ${PLANNED_WWN:-?}"
        DISK=$candidate
    done
    [ -n "$DISK" ] || fail disk "no disk has serial number ${PLANNED_SERIAL:-?}, WWN ${PLANNED_WWN:-?}; found: $(disk_nodes | tr '\n' ' ')"
}

# The link that names the granted disk whatever the kernel counts; the node where there is none. Sets DISK_ID.
find_link() {
    DISK_ID=$DISK
    for link in /dev/disk/by-id/*; do
        case $link in *-part[0-9]*) continue ;; esac
        if [ "$(readlink -f "$link")" = "$DISK" ]; then
            DISK_ID=$link
            return
        fi
    done
}
