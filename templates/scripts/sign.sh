# The first line that an SSH server says to anybody then shows this attempt's sign: Dodai knows this OS by it, should
# its own call be lost. Who was called takes it away again.
write_sign() {
    in_tree /usr/sbin/sshd || return 0
    printf '# Written by Dodai.\nVersionAddendum %s\n' "$DODAI_SIGN" | put 644 /etc/ssh/sshd_config.d/00-dodai.conf
}
