# The boot loader: GRUB for BIOS and for UEFI, from the ramdisk, and the firmware's boot order.

# Sets KERNEL and INITRD (may be empty) to the newest kernel of the tree, as paths that GRUB understands.
find_kernel() {
    local version
    folder_of /boot
    BOOT=$REPLY
    KERNEL=$(cd "$BOOT" && find . -maxdepth 1 -name 'vmlinuz*' ! -name '*rescue*' ! -name '*.old' | sort -V | tail -n 1)
    [[ -n $KERNEL ]] || fail image "The image $IMAGE_NAME has no kernel (vmlinuz*) in /boot."
    KERNEL=${KERNEL#./}
    version=${KERNEL#vmlinuz}
    version=${version#-}
    INITRD=
    for name in "initrd.img${version:+-$version}" "initramfs${version:+-$version}.img" "initrd${version:+-$version}"; do
        [[ ! -f $BOOT/$name || -n $INITRD ]] || INITRD=$name
    done
}

# GRUB's language has no safe quoting of everything, and the kernel's line has none at all.
check_kernel_arguments() {
    [[ $DODAI_KERNEL_ARGS =~ ^[A-Za-z0-9\ =,._:/@%+-]*$ ]] ||
        fail settings "The kernel arguments hold a character that cannot be used there: $DODAI_KERNEL_ARGS"
}

write_grub_configuration() {
    local serial='console=ttyS([0-9])(,([0-9]+))?' prefix=${BOOT#"$ROOT"}
    {
        echo '# Written by Dodai. The image may replace it with its own.'
        echo 'set timeout=0'
        if [[ $DODAI_KERNEL_ARGS =~ $serial ]]; then
            echo "serial --unit=${BASH_REMATCH[1]} --speed=${BASH_REMATCH[3]:-115200}"
            echo 'terminal_input console serial'
            echo 'terminal_output console serial'
        fi
        echo "search --no-floppy --fs-uuid --set=root $ROOT_UUID"
        echo "menuentry '$IMAGE_LABEL' {"
        echo "    linux $prefix/$KERNEL root=UUID=$ROOT_UUID ro $DODAI_KERNEL_ARGS"
        [[ -z $INITRD ]] || echo "    initrd $prefix/$INITRD"
        echo '}'
    } >"$WORK/grub.cfg"
    put 644 /boot/grub/grub.cfg <"$WORK/grub.cfg"
    # So that the image's own update-grub keeps the arguments.
    if [[ -n $DODAI_KERNEL_ARGS ]] && in_tree /etc/default/grub; then
        # shellcheck disable=SC2016 # GRUB's own configuration expands it
        printf 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX %s"\n' "$DODAI_KERNEL_ARGS" | put 644 /etc/default/grub.d/90-dodai.cfg
    fi
}

install_grub() {
    cause=bootloader
    grub-install --target=i386-pc --boot-directory="$BOOT" --no-floppy "$DISK"
    grub-install --target=x86_64-efi --boot-directory="$BOOT" --efi-directory="$ESP" --removable --no-nvram
}

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
    efibootmgr --quiet --create --disk "$DISK" --part 2 --label dodai --loader '\EFI\BOOT\BOOTX64.EFI' || exit 1
    disk=$(efi_entries | head -n 1)
    network=$(efi_value BootCurrent)
    first=$disk,$network
    [ "$DODAI_BOOT_ORDER" != network ] || first=$network,$disk
    rest=$(efi_value BootOrder | tr , '\n' | grep -v -x -e "$disk" -e "$network" | tr '\n' ,)
    wanted=$(echo "$first,$rest" | sed 's/,,*/,/g; s/^,//; s/,$//')
    efibootmgr --quiet --bootorder "$wanted" || exit 1
    [ "$(efi_value BootOrder)" = "$wanted" ]
)
