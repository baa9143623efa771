# shellcheck shell=sh
# dlfuse-machine-id.sh: the same machine-id at each boot of a machine without a disk. Sourced by dlfuse-lib.sh.
#
#   dlfuse_set_machine_id DIR   the system at DIR will have it; before switch_root
#
# The id is a hash of the UUID of the firmware (DMI), which is a secret of sorts and not published by it, or of the MAC address of
# the card that the machine has booted by. How it gets into the system depends on its /etc/machine-id and its init:
#
#   has an id        that one stays, unless rd.dlfuse.machine-id= is given: then the file is written
#   empty            /run/machine-id, which systemd of DLFUSE_REUSES or later writes there; else the file is written
#   uninitialized,   a first boot, and it remains one: /run/machine-id, or with an older systemd /var/lib/dbus/machine-id; with
#   or missing       another init the file is written
#
# Where a file cannot be written, or would lose its label of SELinux, a mount of /run/machine-id lies on /etc/machine-id.
# systemd.machine_id= and systemd's credential come first: then nothing is done here.

DLFUSE_DMI_UUID=/sys/class/dmi/id/product_uuid
DLFUSE_CARDS=/sys/class/net
DLFUSE_ROUTES=/proc/net/route
DLFUSE_ADDRESSES6=/proc/net/if_inet6
DLFUSE_MACHINE_ID=/run/machine-id
DLFUSE_ID_CREDENTIAL=/run/credentials/@system/system.machine_id
# systemd looks there for the id since this version.
DLFUSE_REUSES=257
# UUIDs that whole series of boards have; UUIDs of one repeated byte or word are rejected without a list.
DLFUSE_SHARED_UUIDS='03000200040005000006000700080009 00020003000400050006000700080009 000102030405060708090a0b0c0d0e0f
    030201000504070608090a0b0c0d0e0f 6ab5b300538d10149fb5b0684d007b53
    123456781234567890abcddeefaabbcc 4c4c454400002010802080c04f202020 4c4c454400202010802080c04f202020'

# dlfuse_as_id TEXT: its 32 hexadecimal digits, as /etc/machine-id has them; nothing if it is no id.
dlfuse_as_id() {
    [ -n "$1" ] || return 0
    printf '%s\n' "$1" | sed -nE 's/-//g; y/ABCDEF/abcdef/; /^0{32}$/d; /^[0-9a-f]{32}$/p'
}

# dlfuse_hash_id TEXT: an id that is always the same for TEXT, with the marks of a random UUID.
dlfuse_hash_id() {
    echo "dlfuse machine-id $1" | sha256sum | sed -E 's/^(.{32}).*/\1/; s/^(.{12})./\14/
        s/^(.{16})[048c]/\18/; s/^(.{16})[159d]/\19/; s/^(.{16})[26ae]/\1a/; s/^(.{16})[37bf]/\1b/'
}

# The firmware's UUID; nothing if it has none, or one that other machines share.
dlfuse_dmi_uuid() {
    local uuid='' shared
    read -r uuid 2>/dev/null <"$DLFUSE_DMI_UUID" || :
    uuid=$(dlfuse_as_id "$uuid" | sed -E '/^(.)\1{31}$/d; /^(..)\1{15}$/d; /^(.{4})\1{7}$/d; /^(.{8})\1{3}$/d')
    for shared in $DLFUSE_SHARED_UUIDS; do
        [ "$uuid" != "$shared" ] || return 0
    done
    echo "$uuid"
}

# Names of cards with a route or an address that reaches further than the link.
dlfuse_cards_in_use() {
    sed -n '2,$s/[[:blank:]].*//p' "$DLFUSE_ROUTES" 2>/dev/null
    sed -nE 's/^[^ ]+ [^ ]+ [^ ]+ 00 [^ ]+ +//p' "$DLFUSE_ADDRESSES6" 2>/dev/null
}

# The MAC address of the card in BOOTIF=, else of the one in use. Of several the lowest, for their order changes. Never an
# address that the kernel has made up.
dlfuse_boot_mac() {
    local mac='' card address type made_up
    if ! mac=$(dlfuse_bootif_mac "$(dlfuse_arg BOOTIF)"); then
        for card in $(dlfuse_cards_in_use); do
            read -r type 2>/dev/null <"$DLFUSE_CARDS/$card/type" || continue
            read -r address 2>/dev/null <"$DLFUSE_CARDS/$card/address" || continue
            made_up=0
            read -r made_up 2>/dev/null <"$DLFUSE_CARDS/$card/addr_assign_type" || :
            case $type-$made_up-$address in
            *-00:00:00:00:00:00) ;;
            1-[!1]-*)
                # shellcheck disable=SC3012 # dash, busybox and klibc have it
                if [ -z "$mac" ] || [ "$address" \< "$mac" ]; then
                    mac=$address
                fi
                ;;
            esac
        done
    fi
    echo "$mac"
}

# dlfuse_machine_id auto|dmi|mac|ID: prints the requested id; nothing if the machine has none of this kind.
dlfuse_machine_id() {
    local of=''
    case $1 in
    auto | dmi) of=$(dlfuse_dmi_uuid) ;;
    mac) ;;
    *)
        dlfuse_as_id "$1"
        return
        ;;
    esac
    case $1 in auto | mac) of=${of:-$(dlfuse_boot_mac)} ;; esac
    [ -z "$of" ] || dlfuse_hash_id "$of"
}

# dlfuse_id_state FILE: the state of the image's file: id, empty, first (boot), or link, which is left alone like an id.
dlfuse_id_state() {
    local text=''
    if [ -L "$1" ]; then
        echo link
    elif [ ! -e "$1" ]; then
        echo first
    else
        read -r text <"$1" || :
        if [ "$text" = uninitialized ]; then
            echo first
        elif [ -n "$(dlfuse_as_id "$text")" ]; then
            echo id
        else
            echo empty
        fi
    fi
}

# dlfuse_systemd_of DIR: the version of systemd at DIR; nothing when there is none.
dlfuse_systemd_of() {
    local file
    for file in "$1"/usr/lib/systemd/libsystemd-shared-*.so "$1"/usr/lib/*-linux-gnu*/systemd/libsystemd-shared-*.so \
        "$1"/usr/lib64/systemd/libsystemd-shared-*.so; do
        [ -e "$file" ] || continue
        file=${file##*/libsystemd-shared-}
        echo "${file%%[!0-9]*}"
        return
    done
}

# dlfuse_put_file FILE TEXT: 1, without a message, where it cannot be written.
dlfuse_put_file() {
    [ -d "${1%/*}" ] || mkdir -p "${1%/*}" 2>/dev/null || return 1
    rm -f "$1" 2>/dev/null && (umask 0222 && echo "$2" >"$1") 2>/dev/null
}

# dlfuse_give_id DIR STATE ID: as the table above has it.
dlfuse_give_id() {
    local file="$1/etc/machine-id" version
    dlfuse_put_file "$DLFUSE_MACHINE_ID" "$3" || return 1
    if [ "$2" != id ]; then
        version=$(dlfuse_systemd_of "$1")
        [ "${version:-0}" -lt $DLFUSE_REUSES ] || return 0
        if [ "$2" = first ]; then
            [ -z "$version" ] || file="$1/var/lib/dbus/machine-id"
            if dlfuse_keeps_labels "$1" && dlfuse_put_file "$file" "$3"; then
                dlfuse_relabel "$1" "${file#"$1"}"
                return 0
            fi
            file="$1/etc/machine-id"
        fi
    fi
    [ -e "$file" ] || return 1
    # In place, with its label.
    if dlfuse_keeps_labels "$1" && (cat "$DLFUSE_MACHINE_ID" >"$file") 2>/dev/null; then
        dlfuse_relabel "$1" /etc/machine-id
    else
        mount --bind "$DLFUSE_MACHINE_ID" "$file"
    fi
}

dlfuse_set_machine_id() {
    local want state id
    ! dlfuse_arg systemd.machine_id >/dev/null && [ ! -e "$DLFUSE_ID_CREDENTIAL" ] || return 0
    want=$(dlfuse_option machine-id) || :
    want=${want:-auto}
    state=$(dlfuse_id_state "$1/etc/machine-id")
    case $want-$state in 0-* | no-* | off-* | auto-id | *-link) return 0 ;; esac
    id=$(dlfuse_machine_id "$want")
    if [ -z "$id" ]; then
        dlfuse_log 4 "no machine-id from rd.dlfuse.machine-id=$want: it wants a firmware's UUID or a card's MAC address; systemd makes one up"
    elif ! dlfuse_give_id "$1" "$state" "$id"; then
        dlfuse_log 4 "the root's /etc/machine-id cannot be set; systemd makes an id up"
    fi
}
