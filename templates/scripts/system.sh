# What makes the system below $ROOT this machine's own. Nothing of the tree is run, and nothing outside it is written: links
# in the tree are followed inside it only.

# folder_of PATH [DEPTH]: the folder below $ROOT, made where it is missing; sets REPLY.
folder_of() {
    local at=$ROOT part link
    local -a parts
    [[ ${2:-0} -lt 20 ]] || fail image "Links in the image lead in a circle: $1."
    IFS=/ read -ra parts <<<"$1"
    for part in "${parts[@]}"; do
        case $part in
        '' | .) continue ;;
        ..)
            [[ $at == "$ROOT" ]] || at=${at%/*}
            continue
            ;;
        esac
        if [[ -L $at/$part ]]; then
            link=$(readlink "$at/$part")
            [[ $link == /* ]] || link=${at#"$ROOT"}/$link
            folder_of "$link" $((${2:-0} + 1))
            at=$REPLY
            continue
        fi
        at=$at/$part
        [[ -e $at ]] || mkdir -m 755 "$at"
        [[ -d $at ]] || fail image "The image has $1 as something else than a folder."
    done
    REPLY=$at
}

# put MODE PATH: what comes on standard input becomes the file PATH of the tree. Text only; the common modes need no
# program but what makes folders.
put() {
    local name=${2##*/} text mask=077
    folder_of "${2%/*}"
    [[ ! -d $REPLY/$name || -L $REPLY/$name ]] || fail image "The image has $2 as a folder; it must be a file."
    [[ ! -e $REPLY/$name && ! -L $REPLY/$name ]] || rm -f "$REPLY/$name"
    IFS= read -r -d '' text || true # it ends at the end of the text, which read calls a failure
    [[ $1 != 644 ]] || mask=022
    (umask "$mask" && printf '%s' "$text" >"$REPLY/$name")
    [[ $1 == 644 || $1 == 600 ]] || chmod "$1" "$REPLY/$name"
}

# put_link TARGET PATH
put_link() {
    folder_of "${2%/*}"
    ln -sfn "$1" "$REPLY/${2##*/}"
}

# Whether the tree has it, whatever links lead there.
in_tree() {
    [[ -e $ROOT$1 || -L $ROOT$1 ]]
}

{% include "names.sh" %}

write_keys() {
    folder_of /root/.ssh
    chmod 700 "$REPLY"
    printf '%s\n' "$DODAI_AUTHORIZED_KEYS" | put 600 /root/.ssh/authorized_keys
    # Each machine makes its own; copies would let one machine pass for another.
    folder_of /etc/ssh
    rm -f "$REPLY"/ssh_host_*_key "$REPLY"/ssh_host_*_key.pub
}

write_identity() {
    # Empty, not missing: systemd then fills it in without asking the questions of a first boot.
    printf '' | put 444 /etc/machine-id
    ! in_tree /var/lib/dbus/machine-id || put_link /etc/machine-id /var/lib/dbus/machine-id
}

write_time() {
    date -u -s "@$DODAI_TIME" >/dev/null
    hwclock -w -u || say "the hardware clock cannot be set"
    [[ -n $DODAI_TIMEZONE ]] || return 0
    if [[ -f $ROOT/usr/share/zoneinfo/$DODAI_TIMEZONE ]]; then
        put_link "/usr/share/zoneinfo/$DODAI_TIMEZONE" /etc/localtime
        printf '%s\n' "$DODAI_TIMEZONE" | put 644 /etc/timezone
    else
        say "the image has no time zone $DODAI_TIMEZONE; it keeps its own"
    fi
}

{% include "network.sh" %}

write_network() {
    printf '%s\n' "$DODAI_NETWORK" | put 644 /etc/dodai/network
    each_interface networkd_files
    ifupdown_file >"$WORK/interfaces"
    use_network
}

{% include "accounts.sh" %}

# One of the two configures the cards, never both: what the image has switched on, else ifupdown, else networkd.
use_network() {
    local wants=/etc/systemd/system/multi-user.target.wants
    if in_tree "$wants/systemd-networkd.service"; then
        say "network by systemd-networkd"
    elif in_tree /usr/sbin/ifup || in_tree /sbin/ifup; then
        put 644 /etc/network/interfaces <"$WORK/interfaces"
        say "network by ifupdown"
    elif in_tree /usr/lib/systemd/systemd-networkd || in_tree /lib/systemd/systemd-networkd; then
        put_link /lib/systemd/system/systemd-networkd.service "$wants/systemd-networkd.service"
        put_link /lib/systemd/system/systemd-networkd.service /etc/systemd/system/dbus-org.freedesktop.network1.service
        say "network by systemd-networkd, switched on"
    else
        say "network by what the image makes of /etc/dodai/network"
    fi
}

write_first_boot() {
    [[ -z $DODAI_FIRST_BOOT_COMMANDS ]] || printf '%s\n' "$DODAI_FIRST_BOOT_COMMANDS" | put 700 /etc/dodai/first-boot-commands
    printf '%s\n' "$DODAI_FIRST_BOOT_URL" | put 600 /etc/dodai/first-boot.url
    put 700 /etc/dodai/first-boot <<'DODAI_FIRST_BOOT'
{% include "first_boot.sh" %}
DODAI_FIRST_BOOT
    write_unit dodai-first-boot <<'DODAI_UNIT'
[Unit]
Description=Tell Dodai that this system is up
After=network.target dodai-ssh-keys.service
ConditionPathExists=/etc/dodai/first-boot

[Service]
ExecStart=/bin/sh /etc/dodai/first-boot

[Install]
WantedBy=multi-user.target
DODAI_UNIT
    in_tree /usr/bin/ssh-keygen || return 0
    write_unit dodai-ssh-keys <<'DODAI_UNIT'
[Unit]
Description=Make this machine's own SSH host keys
Before=ssh.service sshd.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
Nice=10
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
DODAI_UNIT
}

# write_unit NAME: a systemd unit, switched on without running systemctl.
write_unit() {
    put 644 "/etc/systemd/system/$1.service"
    put_link "/etc/systemd/system/$1.service" "/etc/systemd/system/multi-user.target.wants/$1.service"
}

{% include "sign.sh" %}

set_up_system() {
    write_names
    write_keys
    write_accounts
    write_identity
    write_time
    write_network
    write_first_boot
    write_sign
}
