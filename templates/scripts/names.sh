# The name of the system below $ROOT. Who includes this has put.

write_names() {
    names=$DODAI_HOSTNAME
    [ "${DODAI_HOSTNAME%%.*}" = "$DODAI_HOSTNAME" ] || names="$DODAI_HOSTNAME ${DODAI_HOSTNAME%%.*}"
    printf '%s\n' "$DODAI_HOSTNAME" | put 644 /etc/hostname
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n' "$names" | put 644 /etc/hosts
}
