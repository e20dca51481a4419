# The last thing before the installer restarts the machine.

# put MODE PATH: what comes on standard input becomes the file PATH below $ROOT.
put() {
    mkdir -p "$ROOT${2%/*}"
    rm -f "$ROOT$2"
    cat >"$ROOT$2"
    chmod "$1" "$ROOT$2"
}

in_tree() {
    [ -e "$ROOT$1" ] || [ -L "$ROOT$1" ]
}

{% include "sign.sh" %}

{% include "network.sh" %}

# finish ROOT
finish() {
    ROOT=$1
    [ -d "$ROOT/etc" ] || fail script "there is no system in $ROOT"
    add_keys
    add_accounts
    add_network
    [ -z "$DODAI_FIRST_BOOT_COMMANDS" ] || printf '%s\n' "$DODAI_FIRST_BOOT_COMMANDS" | put 700 /etc/dodai/first-boot-commands
    printf '%s\n' "$DODAI_FIRST_BOOT_URL" | put 600 /etc/dodai/first-boot.url
    put 700 /etc/dodai/first-boot <<'DODAI_FIRST_BOOT'
{% include "first_boot.sh" %}
DODAI_FIRST_BOOT
    put 644 /etc/systemd/system/dodai-first-boot.service <<'DODAI_UNIT'
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
    chmod 755 "$ROOT/etc/dodai"
    mkdir -p "$ROOT/etc/systemd/system/multi-user.target.wants"
    chmod 755 "$ROOT/etc/systemd/system" "$ROOT/etc/systemd/system/multi-user.target.wants"
    ln -sf /etc/systemd/system/dodai-first-boot.service "$ROOT/etc/systemd/system/multi-user.target.wants/"
    write_sign
    # Where SELinux rules, what was written from outside has no label yet.
    [ ! -x "$ROOT/sbin/restorecon" ] || chroot "$ROOT" /sbin/restorecon -R /root/.ssh /etc/ssh /etc/dodai /etc/systemd/system 2>/dev/null || true
    sync
    printf '{}' >"$WORK/done.json"
    post event/install_reboot "$WORK/done.json"
    say "installed; the installer restarts the machine"
}

add_keys() {
    [ -n "$DODAI_AUTHORIZED_KEYS" ] || return 0
    mkdir -p "$ROOT/root/.ssh"
    chmod 700 "$ROOT/root/.ssh"
    printf '%s\n' "$DODAI_AUTHORIZED_KEYS" >>"$ROOT/root/.ssh/authorized_keys"
    chmod 600 "$ROOT/root/.ssh/authorized_keys"
}

# Lines with an account and one of its keys. Only these accounts' programs of the new system are run.
add_accounts() {
    printf '%s\n' "$DODAI_ACCOUNTS" >"$WORK/accounts"
    while read -r account key; do
        [ -n "$key" ] || continue
        chroot "$ROOT" id "$account" >/dev/null 2>&1 </dev/null || chroot "$ROOT" useradd --create-home --shell /bin/bash --password '*' "$account" </dev/null
        home=$(awk -F: -v account="$account" '$1 == account { print $6 }' "$ROOT/etc/passwd")
        [ -n "$home" ] || fail script "the account $account cannot be made"
        mkdir -p "$ROOT$home/.ssh" "$ROOT/etc/sudoers.d"
        printf '%s\n' "$key" >>"$ROOT$home/.ssh/authorized_keys"
        chmod 700 "$ROOT$home/.ssh"
        chmod 600 "$ROOT$home/.ssh/authorized_keys"
        chroot "$ROOT" chown -R "$account:" "$home/.ssh" </dev/null
        printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$account" | put 440 "/etc/sudoers.d/90-dodai-$account"
    done <"$WORK/accounts"
}

# Debian's installer knows the card that it installs by, and nothing of static addresses elsewhere, bonds or VLANs; what the
# other installers are to make of them stands in their answers.
add_network() {
    in_tree /usr/sbin/ifup || in_tree /sbin/ifup || return 0
    printf '%s\n' "$DODAI_NETWORK" | grep -qv ' dhcp$' || return 0
    ifupdown_file | put 644 /etc/network/interfaces
}
