# The firmware's boot order, the partition ESP_NUMBER of $DISK being the one that UEFI starts from.

# Sets BOOT_ORDER_TEXT. A firmware that refuses is told of, not a reason to fail: the loader stands where every
# firmware looks for it.
set_boot_order() {
    if [[ ! -d /sys/firmware/efi/efivars ]]; then
        BOOT_ORDER_TEXT="BIOS: set by the BMC ($DODAI_BOOT_ORDER first)"
    elif write_boot_order >>"$LOG" 2>&1; then
        BOOT_ORDER_TEXT="UEFI: $DODAI_BOOT_ORDER first, read back: $(efi_summary)"
    else
        BOOT_ORDER_TEXT="UEFI: could not be set to $DODAI_BOOT_ORDER first; the firmware has: $(efi_summary)"
    fi
    say "boot order: $BOOT_ORDER_TEXT"
}

efi_value() {
    efibootmgr | awk -F ': ' -v name="$1" '$1 == name { print $2 }'
}

efi_entries() {
    efibootmgr | sed -n 's/^Boot\([0-9A-Fa-f]\{4\}\)[* ] *dodai\(\t.*\)\?$/\1/p'
}

efi_summary() {
    efibootmgr | awk '/^BootOrder:/ { order = $2 } /^Boot[0-9A-F]+[* ]/ { id = substr($1, 5, 4); $1 = ""; split($0, part, "\t");
        name[id] = substr(part[1], 2) } END { count = split(order, ids, ","); for (n = 1; n <= count && n <= 4; n++)
        printf "%s%s %s", (n > 1 ? ", " : ""), ids[n], name[ids[n]] }' || true
}

# The ramdisk came from the network, so BootCurrent is the network's entry.
write_boot_order() (
    set +e
    trap - ERR
    for old in $(efi_entries); do
        efibootmgr --quiet --bootnum "$old" --delete-bootnum
    done
    efibootmgr --quiet --create --disk "$DISK" --part "$ESP_NUMBER" --label dodai --loader '\EFI\BOOT\BOOTX64.EFI' || exit 1
    disk=$(efi_entries | head -n 1)
    network=$(efi_value BootCurrent)
    first=$disk,$network
    [ "$DODAI_BOOT_ORDER" != network ] || first=$network,$disk
    rest=$(efi_value BootOrder | tr , '\n' | grep -v -x -e "$disk" -e "$network" | tr '\n' ,)
    wanted=$(echo "$first,$rest" | sed 's/,,*/,/g; s/^,//; s/,$//')
    efibootmgr --quiet --bootorder "$wanted" || exit 1
    [ "$(efi_value BootOrder)" = "$wanted" ]
)
