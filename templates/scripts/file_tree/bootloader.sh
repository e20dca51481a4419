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
