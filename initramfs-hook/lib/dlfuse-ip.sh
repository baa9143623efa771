# shellcheck shell=sh
# dlfuse-ip.sh: no second DHCP behind pxelinux. pxelinux passes on its address as ip=ADDRESS:SERVER:GATEWAY:NETMASK. dracut
# takes this for DHCP with an address and dies; systemd's generator ignores it. So until switch_root a kernel command line that
# both understand lies on top of /proc/cmdline. Sourced by the dracut module, behind dlfuse-lib.sh; initramfs-tools understands
# these four fields itself.

# The interface's name then. dlfuse-pxe uses it, too, for machines with an address in the inventory.
DLFUSE_INTERFACE=bootnet
DLFUSE_CMDLINE=/proc/cmdline

# 0 for four numbers up to 255.
dlfuse_is_ipv4() {
    local rest="$1." count=0
    while [ -n "$rest" ]; do
        case ${rest%%.*} in '' | *[!0-9]* | ????*) return 1 ;; esac
        [ "${rest%%.*}" -le 255 ] || return 1
        rest=${rest#*.}
        count=$((count + 1))
    done
    [ $count = 4 ]
}

# dlfuse_static_ip FIELDS INTERFACE: prints pxelinux's ip= in its complete form. 1: FIELDS has another form. Without a
# gateway pxelinux says 0.0.0.0.
dlfuse_static_ip() {
    local address mask rest gateway
    case $1 in
    *:*:*:*:*) return 1 ;;
    *:*:*:*) ;;
    *) return 1 ;;
    esac
    address=${1%%:*}
    mask=${1##*:}
    rest=${1#*:}
    rest=${rest%:*}
    gateway=${rest#*:}
    [ "$gateway" != 0.0.0.0 ] || gateway=''
    dlfuse_is_ipv4 "$address" && [ "$address" != 0.0.0.0 ] || return 1
    dlfuse_is_ipv4 "$mask" && [ "$mask" != 0.0.0.0 ] || return 1
    [ -z "${rest%%:*}" ] || dlfuse_is_ipv4 "${rest%%:*}" || return 1
    [ -z "$gateway" ] || dlfuse_is_ipv4 "$gateway" || return 1
    echo "$address::$gateway:$mask::$2:none"
}

# dlfuse_complete_ip FILE: prints the kernel command line in FILE with pxelinux's ip= and BOOTIF= as ip=…:bootnet:none and
# ifname=bootnet:MAC, and each other byte as it is. 1, and no output, unless there is exactly one of each: with several ip=,
# with other forms of it, or with one between quotes. An existing ifname= of this interface keeps its name, and no second one is
# added.
dlfuse_complete_ip() (
    # Words may have characters that a shell would take for a pattern of file names.
    set -f
    ips=0 bootifs=0 open=0 named='' interface=$DLFUSE_INTERFACE
    # Words are split as dracut does it. The kernel differs, for it knows quotes: the result must be right for both.
    # shellcheck disable=SC2013 # words are what is wanted
    for word in $(cat "$1"); do
        case $word in
        ip=*) ips=$((ips + 1 + open)) ip=${word#ip=} ;;
        BOOTIF=*) bootifs=$((bootifs + 1 + open)) bootif=${word#BOOTIF=} ;;
        ifname=*) named="$named ${word#ifname=}" ;;
        esac
        while case $word in *\"*) ;; *) false ;; esac do
            word=${word#*\"}
            open=$((1 - open))
        done
    done
    [ $ips = 1 ] && [ $bootifs = 1 ] && mac=$(dlfuse_bootif_mac "$bootif") || exit 1
    name="ifname=$interface:$mac"
    for word in $named; do
        if [ "$(printf '%s\n' "${word#*:}" | sed 'y/ABCDEF/abcdef/')" = "$mac" ]; then
            interface=${word%%:*} name=''
        elif [ "${word%%:*}" = "$interface" ]; then
            exit 1
        fi
    done
    case $interface in '' | *[!A-Za-z0-9_.-]*) exit 1 ;; esac
    ip=$(dlfuse_static_ip "$ip" "$interface") || exit 1
    sed -E "s/(^|[[:blank:]])ip=[^[:blank:]]*/\1ip=$ip/; s/(^|[[:blank:]])BOOTIF=[^[:blank:]]*/\1$name/" "$1"
)

# dlfuse_pass_on_ip: call it before any program reads ip=. Works once; does nothing where there is nothing to complete.
dlfuse_pass_on_ip() {
    local completed="$DLFUSE_STATE/cmdline"
    ! dlfuse_is_mounted "$DLFUSE_CMDLINE" || return 0
    mkdir -p "$DLFUSE_STATE"
    if ! dlfuse_complete_ip "$DLFUSE_CMDLINE" >"$completed"; then
        rm -f "$completed"
    elif mount --bind "$completed" "$DLFUSE_CMDLINE"; then
        dlfuse_log 6 "pxelinux has passed on an address: the kernel command line is read as $completed has it"
    else
        dlfuse_log 3 "pxelinux's ip= cannot be completed: $completed cannot be mounted on $DLFUSE_CMDLINE"
    fi
}

# dlfuse_show_cmdline: uncovers the kernel's own /proc/cmdline. Before switch_root, which would take the mount along.
dlfuse_show_cmdline() {
    ! dlfuse_is_mounted "$DLFUSE_CMDLINE" || umount -l "$DLFUSE_CMDLINE"
}
