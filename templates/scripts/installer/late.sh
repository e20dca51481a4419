# The last thing before the installer restarts the machine.

# put MODE FILE: what comes on standard input.
put() {
    mkdir -p "${2%/*}"
    rm -f "$2"
    cat >"$2"
    chmod "$1" "$2"
}

# finish ROOT
finish() {
    [ -d "$1/etc" ] || fail script "there is no system in $1"
    add_keys "$1"
    printf '%s\n' "$DODAI_FIRST_BOOT_URL" | put 600 "$1/etc/dodai/first-boot.url"
    put 700 "$1/etc/dodai/first-boot" <<'DODAI_FIRST_BOOT'
{% include "first_boot.sh" %}
DODAI_FIRST_BOOT
    put 644 "$1/etc/systemd/system/dodai-first-boot.service" <<'DODAI_UNIT'
[Unit]
Description=Tell Dodai that this system is up
Wants=network-online.target
After=network.target
ConditionPathExists=/etc/dodai/first-boot

[Service]
ExecStart=/bin/sh /etc/dodai/first-boot

[Install]
WantedBy=multi-user.target
DODAI_UNIT
    chmod 755 "$1/etc/dodai"
    mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
    chmod 755 "$1/etc/systemd/system" "$1/etc/systemd/system/multi-user.target.wants"
    ln -sf /etc/systemd/system/dodai-first-boot.service "$1/etc/systemd/system/multi-user.target.wants/"
    # Where SELinux rules, what was written from outside has no label yet.
    [ ! -x "$1/sbin/restorecon" ] || chroot "$1" /sbin/restorecon -R /root/.ssh /etc/dodai /etc/systemd/system 2>/dev/null || true
    sync
    printf '{}' >"$WORK/done.json"
    post event/install_reboot "$WORK/done.json"
    say "installed; the installer restarts the machine"
}

add_keys() {
    [ -n "$DODAI_AUTHORIZED_KEYS" ] || return 0
    mkdir -p "$1/root/.ssh"
    chmod 700 "$1/root/.ssh"
    printf '%s\n' "$DODAI_AUTHORIZED_KEYS" >>"$1/root/.ssh/authorized_keys"
    chmod 600 "$1/root/.ssh/authorized_keys"
}
