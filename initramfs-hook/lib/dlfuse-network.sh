# shellcheck shell=sh
# dlfuse-network.sh: the machine's settings from its network, and their way into the booted system. Sourced by dlfuse-lib.sh.
#
#   dlfuse_default_dhcp       where systemd-networkd runs the initramfs' network: DHCP if no argument says otherwise, and the same
#                             lease at each boot; before it starts
#   dlfuse_write_resolver     name servers and search domains in the initramfs' resolv.conf; again after each lease, adds missing ones
#   dlfuse_set_host_name      the host name, if the machine has none; before switch_root
#   dlfuse_forget_default_dhcp  before switch_root
#   dlfuse_keep_network DIR   the system at DIR leaves the address alone through which its root comes
#
# No function blocks or fails: a machine without a name or a resolver boots.

# Files of systemd-networkd, made for this boot.
DLFUSE_NETWORKD=/run/systemd/network
# dracut's own default, since 102 or so, of late in DLFUSE_NETWORKD; dracut removes it when an argument asks for another
# setting.
DLFUSE_DRACUT_NETWORK=/etc/systemd/network/zzzz-dracut-default.network
# Where leases lie: systemd-networkd's, and ipconfig's of initramfs-tools.
DLFUSE_LEASES='/run/systemd/netif/leases/* /run/net-*.conf /run/net6-*.conf'
# systemd-networkd's summary of all links.
DLFUSE_NETWORKD_STATE=/run/systemd/netif/state
DLFUSE_RESOLVER=/etc/resolv.conf
# Files with a name that is not this machine's own: the distribution's, and systemd's mark of a made-up name.
DLFUSE_OS_RELEASES='/etc/os-release /usr/lib/os-release /etc/initrd-release /usr/lib/initrd-release'
DLFUSE_DEFAULT_NAMES='/run/systemd/default-hostname /etc/hostname'

# dlfuse_bootif_mac VALUE: the MAC address in a value of BOOTIF=, as the kernel writes it; 1 for all but Ethernet's.
dlfuse_bootif_mac() {
    local pair='[0-9A-Fa-f][0-9A-Fa-f]' mac
    [ -n "$1" ] || return 1
    mac=$(printf '%s\n' "$1" | sed -n "s/^01-\($pair-$pair-$pair-$pair-$pair-$pair\)\$/\1/p" | sed 'y/ABCDEF-/abcdef:/')
    [ -n "$mac" ] && echo "$mac"
}

# DHCP servers know a machine by its MAC address: systemd-networkd's own identity comes from the machine-id, which an
# initramfs makes up anew at each boot.
dlfuse_same_lease() { printf '[DHCPv4]\nClientIdentifier=mac\n[DHCPv6]\nDUIDType=link-layer\n'; }

# BOOTIF= concerns the cards that no argument names: only its card is used, unless rd.bootif=0. Nothing without BOOTIF=.
dlfuse_match_bootif() {
    local mac
    [ "$(dlfuse_arg rd.bootif)" != 0 ] && mac=$(dlfuse_bootif_mac "$(dlfuse_arg BOOTIF)") || return 0
    printf '[Match]\nMACAddress=%s\n' "$mac"
}

# dlfuse_names_a_card FILE: 0 if it is for a certain card.
dlfuse_names_a_card() { [ -n "$(sed -nE '/^(Name|MACAddress)=/p' "$1")" ]; }

# dlfuse_drop_in FILE NAME: stdin becomes FILE's drop-in of this name.
dlfuse_drop_in() {
    mkdir -p "$DLFUSE_NETWORKD/${1##*/}.d"
    cat >"$DLFUSE_NETWORKD/${1##*/}.d/$2.conf"
}

# 0 if the file asks for an address, or gives its link to another one, which gets the address.
dlfuse_is_for_an_address() { [ -n "$(sed -nE '/^(DHCP|Address|Bond|Bridge|VLAN)=/p' "$1")" ]; }

# Runs after systemd-network-generator, which makes files from ip= and its like. Where it has made one, no further card asks for
# an address. But nameserver= and rd.route= alone make a file, too, and that asks for none. Without any file, either dracut has
# a default of its own, or this function writes one: DLFUSE_NETWORKD/zzzz-dlfuse.network. Default requests for DHCP belong to
# the initramfs, and go with it (dlfuse_forget_default_dhcp).
dlfuse_default_dhcp() {
    local file made=no
    for file in "$DLFUSE_NETWORKD"/*.network; do
        [ -e "$file" ] || continue
        [ "$file" != "$DLFUSE_NETWORKD/zzzz-dlfuse.network" ] || continue
        made=yes
        {
            dlfuse_names_a_card "$file" || dlfuse_match_bootif
            dlfuse_same_lease
        } | dlfuse_drop_in "$file" 80-dlfuse-lease
        if ! dlfuse_arg ip >/dev/null && ! dlfuse_is_for_an_address "$file"; then
            printf '[Network]\nDHCP=yes\n' | dlfuse_drop_in "$file" 80-dlfuse-default
        fi
    done
    if [ $made = yes ]; then
        return
    elif [ -e "$DLFUSE_DRACUT_NETWORK" ]; then
        {
            dlfuse_match_bootif
            dlfuse_same_lease
        } | dlfuse_drop_in "$DLFUSE_DRACUT_NETWORK" 80-dlfuse-lease
    else
        mkdir -p "$DLFUSE_NETWORKD"
        {
            printf '[Match]\nType=ether\nKind=!*\n[Network]\nDHCP=yes\n'
            dlfuse_match_bootif
            dlfuse_same_lease
        } >"$DLFUSE_NETWORKD/zzzz-dlfuse.network"
    fi
}

# That the initramfs asked other cards for addresses is no reason for the booted system to do so.
dlfuse_forget_default_dhcp() {
    [ -d "$DLFUSE_NETWORKD" ] || return 0
    rm -f "$DLFUSE_NETWORKD/zzzz-dlfuse.network" "$DLFUSE_NETWORKD/${DLFUSE_DRACUT_NETWORK##*/}" \
        "$DLFUSE_NETWORKD"/*.network.d/80-dlfuse-default.conf
}

# dlfuse_values KEYS FILE...: the words of all KEY=, in the order of the files; KEYS is a pattern (sed -E). Files may be missing.
dlfuse_values() {
    local keys="$1"
    shift
    for _file in "$@"; do
        [ ! -e "$_file" ] || {
            sed -nE "s/[\"']//g; s/^($keys)=(.*)/\2/p" "$@" 2>/dev/null || :
            return
        }
    done
}

# dlfuse_unique WORD...: each word once, at its first place.
dlfuse_unique() {
    local word words=''
    for word in "$@"; do
        case " $words " in *" $word "*) ;; *) words="$words $word" ;; esac
    done
    printf '%s\n' "${words# }"
}

dlfuse_resolver_has() { [ -s "$DLFUSE_RESOLVER" ] && [ -n "$(sed -nE "/^[[:blank:]]*($1)[[:blank:]]/p" "$DLFUSE_RESOLVER" 2>/dev/null)" ]; }

# Name servers as addresses: systemd-networkd writes the server's name behind '#', ipconfig 0.0.0.0 for none.
dlfuse_name_servers() {
    local all
    # shellcheck disable=SC2086 # patterns
    all=$(dlfuse_values 'DNS|IPV[46]DNS[0-9]' $DLFUSE_NETWORKD_STATE $DLFUSE_LEASES)
    # shellcheck disable=SC2046 # words
    [ -z "$all" ] || dlfuse_unique $(printf '%s\n' "$all" |
        sed -E 's/#[^ ]*//g; s/(^| )(0\.0\.0\.0|::)( |$)/\1\3/g')
}

# Search domains come before the lease's own domain. rd.peerdns=0: a lease has no say about names.
dlfuse_search_domains() {
    local keys all
    all=$(for keys in 'DOMAINS|DOMAIN_SEARCH_LIST|DOMAINSEARCH' 'DOMAINNAME|DNSDOMAIN'; do
        # shellcheck disable=SC2086
        dlfuse_values "$keys" $DLFUSE_NETWORKD_STATE $DLFUSE_LEASES
    done)
    [ -z "$all" ] || printf '%s\n' "$all" | sed 's/[[:blank:]]/\n/g' | sed 's/\.$//; /[^A-Za-z0-9._-]/d'
}

# dlfuse_end_line FILE: its last line ends with a newline, so that another one may follow.
dlfuse_end_line() {
    local line=''
    [ -s "$1" ] || return 0
    while read -r line; do :; done <"$1"
    [ -z "$line" ] || echo >>"$1"
}

# Some programs write no resolv.conf and leave their settings elsewhere: systemd-networkd, which in an initramfs does not
# search the domain of a lease, and ipconfig. One line "search": of several the last one would count.
dlfuse_write_resolver() {
    local address domains=''
    dlfuse_end_line "$DLFUSE_RESOLVER"
    if ! dlfuse_resolver_has nameserver; then
        for address in $(dlfuse_name_servers); do
            printf 'nameserver %s\n' "$address"
        done >>"$DLFUSE_RESOLVER"
    fi
    if ! dlfuse_resolver_has 'search|domain' && [ "$(dlfuse_arg rd.peerdns)" != 0 ]; then
        # shellcheck disable=SC2046
        domains=$(dlfuse_unique $(dlfuse_search_domains))
        [ -z "$domains" ] || echo "search $domains" >>"$DLFUSE_RESOLVER"
    fi
}

# dlfuse_is_default_name NAME: 0 if this name was not given to this machine.
dlfuse_is_default_name() {
    local name
    case $1 in
    '' | '(none)' | localhost | localhost. | localhost.localdomain* | localhost[46] | localhost[46].localdomain[46] | *.localhost) return 0 ;;
    esac
    # shellcheck disable=SC2086
    for name in $(dlfuse_values DEFAULT_HOSTNAME $DLFUSE_OS_RELEASES) $(cat $DLFUSE_DEFAULT_NAMES 2>/dev/null); do
        [ "$1" != "$name" ] || return 0
    done
    return 1
}

# The host name that ip= gives, otherwise the one of a lease or of rd.dlfuse.hostname=; nothing when there is none. Of ip= only
# ADDRESS:PEER:GATEWAY:NETMASK:NAME has one: in INTERFACE:METHOD:MTU:MAC the fifth field is a byte of the MAC address. A name
# that the kernel would cut off is used without its domain.
dlfuse_host_name() {
    {
        dlfuse_args ip |
            sed -nE 's/\[[^]]*\]//g; s/^([0-9]+\.[0-9.]+)?:([0-9]+\.[0-9.]+)?:[^:]*:[^:]*:([^:]*).*/\3/p'
        # shellcheck disable=SC2086 # patterns
        dlfuse_values HOSTNAME $DLFUSE_LEASES
        dlfuse_option hostname
    } | sed -nE 's/\.$//; /^.{65}/s/\..*//; /^.{65}/d; /^[0-9]+\.[0-9.]*$/d; /^localhost(\.|$)/d
        /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/{ p; q; }'
}

# The booted system keeps the machine's name of that moment, if its image has none. Not every network module sets one:
# systemd-networkd does not in an initramfs.
dlfuse_set_host_name() {
    local name
    ! dlfuse_arg systemd.hostname >/dev/null || return 0
    read -r name </proc/sys/kernel/hostname || :
    dlfuse_is_default_name "$name" || return 0
    name=$(dlfuse_host_name)
    [ -z "$name" ] || echo "$name" >/proc/sys/kernel/hostname
}

# dlfuse_keep_network DIR: makes the network manager of the system at DIR leave the address alone through which its root comes.
# systemd-networkd flushes everything that it did not set, but for links with files that say otherwise. Files may be made while
# the system boots (netplan, cloud-init), so dlfuse-keep-network.sh looks for them again each time before systemd-networkd starts.
# An image that cannot run it keeps the drop-ins made now. At shutdown ifupdown takes links down, and dhcpcd takes addresses away,
# while the root may still be read.
dlfuse_keep_network() {
    local unit at=/run/systemd/system
    dlfuse_make_directories "$DLFUSE_STATE" $at/systemd-networkd.service.d $at/networking.service.d $at/ifup@.service.d \
        $at/dhcpcd.service.d $at/dhcpcd@.service.d
    cp "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-keep-network.sh" "$DLFUSE_STATE/keep-network.sh"
    /bin/sh "$DLFUSE_STATE/keep-network.sh" "$1"
    dlfuse_unit_drop_in systemd-networkd.service "ExecStartPre=-+/bin/sh $DLFUSE_STATE/keep-network.sh"
    for unit in networking ifup@; do
        dlfuse_unit_drop_in $unit.service "ExecStop="
    done
    for unit in dhcpcd dhcpcd@; do
        dlfuse_unit_drop_in $unit.service "ExecStop=" "KillSignal=SIGKILL"
    done
}

# dlfuse_unit_drop_in UNIT LINE...: adds lines to its section Service.
dlfuse_unit_drop_in() {
    local at="/run/systemd/system/$1.d"
    shift
    dlfuse_make_directories "$at"
    printf '%s\n' '[Service]' "$@" >"$at/90-dlfuse.conf"
}
