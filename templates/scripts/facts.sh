# What this machine is: collect_facts writes $WORK/facts.json and $WORK/disks.tsv. Reads only.

# The first line of a file, without control characters and outer spaces; empty where it cannot be read.
line_of() {
    local text=
    { IFS= read -r text <"$1" || true; } 2>/dev/null
    read -r REPLY <<<"${text//[^[:print:]]/ }" || true
}

# A SCSI disk tells its serial number in the vital product data page 0x80, after four bytes (SPC-4, 7.7.3).
serial_of() {
    local text=
    line_of "$1/device/serial"
    [[ -z $REPLY ]] && line_of "$1/serial"
    if [[ -z $REPLY && -r $1/device/vpd_pg80 ]]; then
        text=$(tail -c +5 "$1/device/vpd_pg80" 2>/dev/null) || true
        read -r REPLY <<<"${text//[^[:print:]]/ }" || true
    fi
}

# As labels and lsblk write it: 0x5000c500a1b2c3d4 for a disk, eui.… or nvme.… for NVMe.
wwn_of() {
    line_of "$1/wwid"
    [[ -n $REPLY ]] || line_of "$1/device/wwid"
    case $REPLY in
    naa.*) REPLY=0x${REPLY#naa.} ;;
    t10.*) REPLY= ;; # vendor, model and serial number once more
    esac
}

# What stands between a disk and the processor, from the disk up: a line `path modalias driver` each.
list_disk_drivers() {
    local block at driver path
    for block in /sys/block/*; do
        [[ -e $block/device ]] || continue
        path=/dev/${block##*/}
        at=$(readlink -f "$block/device")
        while [[ $at == /sys/devices/* ]]; do
            line_of "$at/modalias"
            driver=$(readlink "$at/driver" || true)
            [[ -z $REPLY ]] || printf '%s\t%s\t%s\n' "${path//!//}" "$REPLY" "${driver##*/}"
            at=${at%/*}
        done
    done
}

list_disks() {
    local block path serial wwn model size
    for block in /sys/block/*; do
        path=/dev/${block##*/}
        path=${path//!/\/}
        [[ -e $block/device && -b $path ]] || continue
        [[ ! $path =~ ^/dev/(sr|fd|mtd|mmcblk[0-9]+(boot|rpmb)) ]] || continue
        line_of "$block/size" && size=$((REPLY * 512))
        [[ $size -gt 0 ]] || continue
        serial_of "$block" && serial=$REPLY
        wwn_of "$block" && wwn=$REPLY
        line_of "$block/device/model" && model=$REPLY
        line_of "$block/removable"
        printf '%s\t' "$path" "$serial" "$wwn" "$size" "$model" "$REPLY"
        line_of "$block/queue/rotational"
        printf '%s\n' "$REPLY"
    done
}

list_interfaces() {
    local path speed link driver
    for path in /sys/class/net/*; do
        [[ -e $path/device ]] || continue
        line_of "$path/carrier" && link=$REPLY
        line_of "$path/speed" && speed=$REPLY
        driver=$(readlink "$path/device/driver" || true)
        line_of "$path/address"
        printf '%s\t%s\t%s\t%s\t%s\n' "${path##*/}" "$REPLY" "${speed:--1}" "${link:-0}" "${driver##*/}"
    done
}

# model, sockets, cores, threads
list_processors() {
    awk -F '\t*: ' '
        $1 == "model name" { model = $2 }
        $1 == "processor" { threads++; package = 0 }
        $1 == "physical id" { package = $2; packages[$2] = 1 }
        $1 == "core id" { cores[package "/" $2] = 1 }
        END {
            sockets = length(packages) ? length(packages) : 1
            printf "%s\t%d\t%d\t%d\n", model, sockets, length(cores) ? length(cores) : threads, threads
        }' /proc/cpuinfo
}

# The BMC's address in its LAN channel; empty where there is none, or no driver for it.
bmc_address() {
    local channel address
    # The drivers look for a controller for a second; the firmware's table (SMBIOS type 38) says at once.
    [[ -n $(dmidecode --type 38 --quiet 2>/dev/null) ]] || return 0
    modprobe --quiet --all ipmi_si ipmi_ssif ipmi_devintf || true
    [[ -c /dev/ipmi0 ]] || return 0
    for channel in 1 2 8; do
        address=$(timeout 10 ipmitool lan print "$channel" 2>/dev/null | awk -F ': ' '/^IP Address  / { print $2; exit }') || true
        if [[ $address =~ ^[0-9.]+$ && $address != 0.0.0.0 ]]; then
            echo "$address"
            return 0
        fi
    done
}

# What each disk and partition carries: a line of JSON each. Not from lsblk, which asks udev, and here is none. Reads only.
list_signatures() {
    local path found
    while IFS= read -r path; do
        [[ $path =~ ^[A-Za-z0-9/_.:+-]+$ ]] || continue
        found=$(timeout 20 wipefs --json "$path") || found=
        printf '{"path": "%s", "found": %s}\n' "$path" "${found:-null}"
    done < <(lsblk --noheadings --list --output PATH)
}

memory_bytes() {
    awk '/^MemTotal:/ { print $2 * 1024 }' /proc/meminfo
}

dmi() {
    line_of "/sys/class/dmi/id/$1"
    printf '%s\n' "$REPLY"
}

identity_lines() {
    cat /proc/sys/kernel/random/boot_id
    [[ -d /sys/firmware/efi ]] && echo uefi || echo bios
    dmi product_uuid
    dmi product_serial
    dmi sys_vendor
    dmi product_name
    memory_bytes
}

collect_facts() {
    list_disks >"$WORK/disks.tsv"
    list_disk_drivers >"$WORK/disk-drivers.tsv"
    list_interfaces >"$WORK/interfaces.tsv"
    list_processors >"$WORK/cpu.tsv"
    identity_lines >"$WORK/identity"
    bmc_address >"$WORK/bmc"
    { cat /sys/bus/*/devices/*/modalias 2>/dev/null || true; } | grep -v '^cpu:' | sort -u | head -n 2000 >"$WORK/modaliases"
    lsblk --json --output PATH,TRAN >"$WORK/lsblk.json"
    list_signatures >"$WORK/signatures.json"
    jq -n --rawfile disks "$WORK/disks.tsv" --rawfile interfaces "$WORK/interfaces.tsv" --rawfile cpu "$WORK/cpu.tsv" \
        --rawfile identity "$WORK/identity" --rawfile bmc "$WORK/bmc" --rawfile modaliases "$WORK/modaliases" \
        --rawfile disk_drivers "$WORK/disk-drivers.tsv" --slurpfile lsblk "$WORK/lsblk.json" \
        --slurpfile signatures "$WORK/signatures.json" "$FACTS_PROGRAM" >"$WORK/facts.json"
}

# jq: lines of tab-separated values and lsblk's tree become the facts.
# shellcheck disable=SC2016 # the dollars are jq's
readonly FACTS_PROGRAM='
    def lines: split("\n") | map(select(. != ""));
    def rows: lines | map(split("\t"));
    def below: recurse(.children[]?);
    ($identity | split("\n")) as $id | ($cpu | rows[0]) as $processor |
    {
        boot_id: $id[0], firmware: $id[1], uuid: $id[2], serial: $id[3], manufacturer: $id[4], product: $id[5],
        memory_bytes: ($id[6] | tonumber),
        cpu: {model: $processor[0], sockets: ($processor[1] | tonumber), cores: ($processor[2] | tonumber),
              threads: ($processor[3] | tonumber)},
        bmc_address: ($bmc | lines[0] // null),
        interfaces: ($interfaces | rows | map({
            name: .[0], mac: .[1], speed_mbps: (.[2] | tonumber | if . > 0 then . else null end),
            link: (.[3] == "1"), driver: .[4]})),
        disks: ($disks | rows | map(. as $row |
            ($lsblk[0].blockdevices | map(select(.path == $row[0]))[0] // {path: $row[0]}) as $tree | {
            path: .[0], serial: .[1], wwn: .[2], size_bytes: (.[3] | tonumber), model: .[4],
            removable: (.[5] == "1"), rotational: (.[6] == "1"), transport: ($tree.tran // ""),
            signatures: ([$tree | below | .path as $path | $signatures[] | select(.path == $path) |
                .found.signatures[]? | {path: $path, type, label: (.label // "")}] | unique),
            drivers: [$disk_drivers | rows[] | select(.[0] == $row[0]) | {modalias: .[1], driver: (.[2] // "")}][:16],
            holders: [$tree | below | .path | select(test("^/dev/(md|dm-|mapper/)"))]})),
        modaliases: ($modaliases | lines)
    }'
