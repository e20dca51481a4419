{% include "system.sh" %}

write_fstab() {
    {
        echo '# Written by Dodai.'
        echo "UUID=$ROOT_UUID / ext4 errors=remount-ro 0 1"
        echo "UUID=$(uuid_of "${PART}2") /boot/efi vfat umask=0077,nofail 0 2"
        [[ $SWAP -eq 0 ]] || echo "UUID=$(uuid_of "$PART$SWAP") none swap sw,nofail 0 0"
        [[ $KDUMP -eq 0 ]] || echo "UUID=$(uuid_of "$PART$KDUMP") /var/crash ext4 nofail 0 2"
        [[ $EPHEMERAL -eq 0 ]] || echo "UUID=$(uuid_of "$PART$EPHEMERAL") /mnt ext4 nofail 0 2"
    } >"$WORK/fstab"
    put 644 /etc/fstab <"$WORK/fstab"
    folder_of /boot/efi
    [[ $KDUMP -eq 0 ]] || folder_of /var/crash
}

configure_system() {
    cause=image
    set_up_system
    write_fstab
    write_sign
}
