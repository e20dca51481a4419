# A boot loader for an image that has none which this machine's firmware would start.

place_loader() {
    ! has_loader || return 0
    say "the image has no boot loader for this firmware: installing GRUB"
    ROOT_UUID=$(uuid_of "$PART$ROOT_NUMBER")
    IMAGE_LABEL=${IMAGE_NAME//[^A-Za-z0-9 ._+-]/_}
    check_kernel_arguments
    find_kernel
    cause=bootloader
    if [[ -d /sys/firmware/efi ]]; then
        place_efi_loader
    else
        place_bios_loader
    fi
    write_grub_configuration
}

# UEFI starts what lies in the system partition, BIOS what stands in the first sector.
has_loader() {
    local found=no
    if [[ ! -d /sys/firmware/efi ]]; then
        [[ $(dd if="$WORK/first" bs=440 count=1 status=none | tr -d '\000' | wc -c) -gt 0 ]]
        return
    fi
    find_esp
    [[ -b $PART$ESP_NUMBER ]] || return 1
    mkdir -p /mnt/look
    mount -t vfat -o ro "$PART$ESP_NUMBER" /mnt/look 2>/dev/null || return 1
    [[ -z $(find /mnt/look -iname '*.efi' -print -quit) ]] || found=yes
    umount /mnt/look
    [[ $found == yes ]]
}

place_efi_loader() {
    local type
    type=$(list_partitions | awk -v number="$ESP_NUMBER" '$2 == number { print toupper($4) }')
    [[ $type == C12A7328-F81F-11D2-BA4B-00A0C93EC93B || $type == EF ]] ||
        fail image "The image $IMAGE_NAME has neither a boot loader for UEFI nor a system partition (ESP) that one could go to."
    [[ $(blkid -p -s TYPE -o value "$PART$ESP_NUMBER" || true) == vfat ]] || mkfs.vfat -n ESP "$PART$ESP_NUMBER"
    mkdir -p /mnt/esp
    mount -t vfat "$PART$ESP_NUMBER" /mnt/esp
    grub-install --target=x86_64-efi --boot-directory="$BOOT" --efi-directory=/mnt/esp --removable --no-nvram
    umount /mnt/esp
}

# On a GPT the core goes to a BIOS boot partition; behind an MBR there is room for it.
place_bios_loader() {
    grub-install --target=i386-pc --boot-directory="$BOOT" --no-floppy "$DISK" ||
        fail image "The image $IMAGE_NAME has no boot loader for BIOS, and GRUB finds no place for one: it needs a BIOS boot \
partition."
}
