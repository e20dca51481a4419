#!/bin/sh
# One step of a hand-over. Root runs it in the OS itself, by any sh; each step may be run again, also after half of it.

set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 022
ROOT=
{% for name, value in settings.items() %}
DODAI_{{ name }}={{ value | sh }}
{% endfor %}

say() {
    printf '%s\n' "$1"
}

# fail CAUSE WORDS
fail() {
    printf '%s\n' "$2"
    exit 3
}

# folder_of PATH: made where it is missing; sets REPLY to where it really is.
folder_of() {
    mkdir -p "$1"
    REPLY=$(cd "$1" && pwd -P)
}

# put MODE PATH: what comes on standard input becomes the file PATH, whole or not at all.
put() {
    mkdir -p "${2%/*}"
    rm -f "$2.dodai-new"
    (umask 077 && cat >"$2.dodai-new")
    chmod "$1" "$2.dodai-new"
    mv -f "$2.dodai-new" "$2"
}

in_tree() {
    [ -e "$1" ] || [ -L "$1" ]
}

{% include "names.sh" %}

{% include "network.sh" %}

{% include "accounts.sh" %}

set_hostname() {
    # What cloud-init knows of this system is over: it would take names and cards back at the next start.
    [ ! -d /etc/cloud ] || put 644 /etc/cloud/cloud-init.disabled </dev/null
    write_names
    hostname "$DODAI_HOSTNAME" 2>/dev/null || printf '%s\n' "$DODAI_HOSTNAME" >/proc/sys/kernel/hostname
}

set_network() {
    if in_tree /etc/systemd/system/multi-user.target.wants/systemd-networkd.service; then
        use_networkd
    elif in_tree /usr/sbin/ifup || in_tree /sbin/ifup; then
        use_ifupdown
    elif in_tree /etc/dodai/network; then
        say "The OS takes its network from /etc/dodai/network at its next start."
    elif printf '%s\n' "$DODAI_NETWORK" | grep -v ' dhcp$' | grep -q .; then
        fail network "Its network is set up neither by systemd-networkd nor by ifupdown: Dodai cannot change it."
    else
        say "All cards by DHCP: its network was left as it is."
        return 0
    fi
    printf '%s\n' "$DODAI_NETWORK" | put 644 /etc/dodai/network
}

use_networkd() {
    each_interface networkd_files
    for old in /etc/systemd/network/10-dodai-*; do
        is_wanted "$old" || rm -f "$old"
    done
    rm -f /etc/netplan/50-cloud-init.yaml /run/systemd/network/10-netplan-*
    if [ -d /run/systemd/system ]; then
        networkctl reload || fail network "networkctl could not reload the network's settings."
    else
        say "The OS takes its network at its next start."
    fi
}

# is_wanted FILE: whether a line of the settings has it.
is_wanted() {
    wanted=${1#/etc/systemd/network/10-dodai-}
    awk -v wanted="${wanted%.*}" '
        { name = $1 ~ /:/ ? $1 : $2; gsub(":", "", name) } name == wanted { found = 1 } END { exit !found }' "$WORK/network"
}

# The card that this connection comes by is left alone: all others go down by the old settings and up by the new ones.
use_ifupdown() {
    ifupdown_file >"$WORK/interfaces"
    ! cmp -s "$WORK/interfaces" /etc/network/interfaces || return 0
    ours=
    ! ifup --help 2>&1 | grep -q -e --exclude || ours=$(card_of_connection) # busybox's ifup cannot leave one out
    [ -z "$ours" ] || timeout 30 ifdown -a --exclude=lo --exclude="$ours" >/dev/null 2>&1 || true
    rm -f /etc/network/interfaces.d/50-cloud-init
    put 644 /etc/network/interfaces <"$WORK/interfaces"
    if [ -z "$ours" ]; then
        say "The OS takes its network at its next start."
        return 0
    fi
    timeout 30 ifup -a --exclude="$ours" >/dev/null 2>&1 || fail network "ifup could not bring up all cards."
    say "The card $ours, by which Dodai came, takes its settings at the next start."
}

card_of_connection() {
    # shellcheck disable=SC2086 # its words
    set -- ${SSH_CONNECTION:-}
    [ -z "${3:-}" ] || ip -o address show to "$3" 2>/dev/null | awk 'NR == 1 { print $2 }'
}

# Nobody owned the machine: whoever had a key before has none any more.
close_accounts() {
    rm -f /root/.ssh/authorized_keys2 /etc/sudoers.d/90-dodai /etc/sudoers.d/90-dodai-*
    while IFS=: read -r _ _ _ _ _ home _; do
        case $home in
        '' | / | /root | /root/) ;;
        *) rm -f "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2" ;;
        esac
    done </etc/passwd
}

write_keys() {
    folder_of /root/.ssh
    chmod 700 "$REPLY"
    printf '%s\n' "$1" | put 600 /root/.ssh/authorized_keys
}

set_keys() {
    close_accounts
    write_keys "$DODAI_AUTHORIZED_KEYS
$DODAI_OWN_KEY"
    write_accounts
    [ -z "$accounts" ] || say "Keys for the accounts $(accounts_once | awk '{ printf "%s%s", (NR > 1 ? " " : ""), $1 }')."
}

# Says what is there now, for Dodai to compare.
verify() {
    printf 'hostname %s %s\n' "$(cat /proc/sys/kernel/hostname)" "$(cat /etc/hostname)"
    printf 'root %s\n' "$(digest /root/.ssh/authorized_keys)"
    accounts_once >"$WORK/accounts"
    while read -r account; do
        find_account "$account" || fail keys "It has no account $account."
        printf '%s %s\n' "$account" "$(digest "$ACCOUNT_HOME/.ssh/authorized_keys")"
    done <"$WORK/accounts"
}

accounts_once() {
    printf '%s\n' "$DODAI_ACCOUNTS" | awk 'NF && !seen[$1]++ { print $1 }'
}

digest() {
    sha256sum <"$1" | cut -d ' ' -f 1
}

remove_own_key() {
    write_keys "$DODAI_AUTHORIZED_KEYS"
    sync
    printf 'root %s\n' "$(digest /root/.ssh/authorized_keys)"
}

main() {
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
    {{ step }}
}

main </dev/null
