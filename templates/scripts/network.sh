# The network of the system below $ROOT, for systemd-networkd and for ifupdown. Who includes this has put and in_tree.
#
# Each line of the settings, a dash for what is missing:
#   MAC dhcp
#   MAC ADDRESS GATEWAY DNS1,DNS2 [ROLE [BOND]]       ADDRESS with prefix, or dhcp, or none
#   bond NAME ADDRESS GATEWAY DNS1,DNS2 MODE
#   vlan NAME ADDRESS GATEWAY DNS1,DNS2 NUMBER CARRIER     the MAC of a card, or the name of a bond

# each_interface COMMAND: calls it for each line, with what the line says in variables.
each_interface() {
    number=0
    printf '%s\n' "$DODAI_NETWORK" >"$WORK/network"
    while read -r first second third fourth fifth sixth seventh; do
        case $first in
        '') continue ;;
        bond | vlan) kind=$first name=$second address=$third gateway=$fourth servers=$fifth more=$sixth carrier=$seventh role=service ;;
        *) kind=card name=$first address=$second gateway=$third servers=$fourth role=$fifth more=$sixth carrier='' ;;
        esac
        [ "${gateway:--}" != - ] || gateway=
        [ "${servers:--}" != - ] || servers=
        [ "$role" != storage ] || gateway= # nothing leads out by it
        "$1"
        [ "$kind" != card ] || number=$((number + 1))
    done <"$WORK/network"
}

# of_lines KIND WANTED: the names of the vlans that WANTED carries, or the MACs of the cards in the bond WANTED.
of_lines() {
    case $1 in
    vlan) awk -v wanted="$2" '$1 == "vlan" && $7 == wanted { print $2 }' "$WORK/network" ;;
    card) awk -v wanted="$2" '$1 ~ /:/ && $6 == wanted { print $1 }' "$WORK/network" ;;
    esac
}

networkd_files() {
    file=/etc/systemd/network/10-dodai-$(printf %s "$name" | tr -d :)
    [ "$kind" = card ] || networkd_device | put 644 "$file.netdev"
    networkd_file | put 644 "$file.network"
}

networkd_device() {
    printf '# Written by Dodai.\n[NetDev]\nName=%s\nKind=%s\n' "$name" "$kind"
    case $kind in
    bond) printf '\n[Bond]\nMode=%s\nMIIMonitorSec=100ms\n' "$more" ;;
    vlan) printf '\n[VLAN]\nId=%s\n' "$more" ;;
    esac
}

# A bond and a VLAN have the address of a card: only the type tells them from it.
networkd_file() {
    printf '# Written by Dodai.\n[Match]\n'
    case $kind in
    card) printf 'MACAddress=%s\nType=ether\n' "$name" ;;
    *) printf 'Name=%s\n' "$name" ;;
    esac
    printf '\n[Network]\n'
    [ "$kind" != card ] || [ -z "$more" ] || printf 'Bond=%s\n' "$more"
    of_lines vlan "$name" | sed 's/^/VLAN=/'
    case $address in
    none) printf 'LinkLocalAddressing=no\n' ;;
    dhcp)
        printf 'DHCP=yes\n'
        [ "$role" != storage ] || printf '\n[DHCPv4]\nUseGateway=no\n'
        ;;
    *)
        printf 'Address=%s\n' "$address"
        [ -z "$gateway" ] || printf 'Gateway=%s\n' "$gateway"
        [ -z "$servers" ] || printf 'DNS=%s\n' "$(printf %s "$servers" | tr , ' ')"
        ;;
    esac
}

# interfaces(5): a card is a logical interface, chosen by its address; a bond takes its cards itself.
ifupdown_stanza() {
    logical=$name
    case $kind in
    card)
        [ -z "$more" ] || return 0
        logical=dodai$number
        printf '\nauto /mac/%s=%s\n' "$name" "$logical"
        ;;
    *) printf '\nauto %s\n' "$name" ;;
    esac
    case $address in
    dhcp | none)
        [ "$address" = dhcp ] || address=manual
        printf 'iface %s inet %s\n' "$logical" "$address"
        [ "$address" = dhcp ] || printf '    up ip link set "$IFACE" up\n'
        [ "$role" != storage ] || [ "$address" != dhcp ] || printf '    metric 5000\n'
        ;;
    *)
        family=inet
        case $address in *:*) family=inet6 ;; esac
        printf 'iface %s %s static\n    address %s\n' "$logical" "$family" "$address"
        [ -z "$gateway" ] || printf '    gateway %s\n' "$gateway"
        [ -z "$servers" ] || printf '    dns-nameservers %s\n' "$(printf %s "$servers" | tr , ' ')"
        ;;
    esac
    [ "$kind" = card ] || ifupdown_device
}

# Made by ip alone: neither ifenslave nor the package vlan need be there.
ifupdown_device() {
    case $kind in
    bond)
        printf '    pre-up ip link add "$IFACE" type bond mode %s miimon 100\n' "$more"
        for mac in $(of_lines card "$name"); do
            printf '    pre-up card=$(%s) && ip link set "$card" down && ip link set "$card" master "$IFACE"\n' "$(card_of "$mac")"
        done
        ;;
    vlan)
        case $carrier in
        *:*) printf '    pre-up card=$(%s) && ip link set "$card" up && ip link add link "$card" name "$IFACE" type vlan id %s\n' "$(card_of "$carrier")" "$more" ;;
        *) printf '    pre-up ip link add link %s name "$IFACE" type vlan id %s\n' "$carrier" "$more" ;;
        esac
        ;;
    esac
    printf '    post-down ip link del "$IFACE"\n'
}

# card_of MAC: a command that prints what the kernel calls the card.
card_of() {
    printf 'for card in /sys/class/net/*; do [ ! -e "$card/device" ] || ! grep -qix %s "$card/address" || echo "${card##*/}"; done' "$1"
}

ifupdown_file() {
    printf 'auto lo\niface lo inet loopback\n'
    each_interface ifupdown_stanza
}
