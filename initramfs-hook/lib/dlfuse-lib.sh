# shellcheck shell=sh
# dlfuse-lib.sh: boots from dlfuse in the initramfs, for every tool that makes one.
#
# Sourced by the dracut module and by initramfs-tools' scripts; POSIX sh (dash, busybox, klibc), no state but files below
# /run, so each step may be called again: by another network interface, by a retry, by a restarted job.
#
#   dlfuse_prepare        modules loaded, private root made; any time before dlfuse_start, or not at all
#   dlfuse_start URL      from now on the image is on its way (dlfuse-boot.sh), until DLFUSE_ATTACHED is there: then
#                         it is mounted, and the overlay prepared
#   dlfuse_wait URL       called about once a second while DLFUSE_ATTACHED is not there: says so, and gives up in time
#   dlfuse_mount_root DIR the root filesystem mounted at DIR
#   dlfuse_finish DIR     hand-over armed, resolver, host name and the units that tell of ready and of the end passed on, the
#                         network told to stay, the daemon's root moved along; the last thing before switch_root
#
# The front that sources this defines five functions (dlfuse-words.sh has four of them, for fronts that have the kernel's line):
#   dlfuse_words          all kernel arguments, one a line
#   dlfuse_arg NAME       value of the last kernel argument NAME= on stdout; 1: not given
#   dlfuse_args NAME      values of all of them, one a line
#   dlfuse_flag NAME      0 if NAME or NAME=1 is given
#   dlfuse_shell TEXT     a shell for an administrator at the console; returns after it ends

# The daemon's root directory once the initramfs is gone: a file system of its own, because /run may be noexec
# and nodev, and because nothing that the daemon opens may lie on the root that it serves.
DLFUSE_ROOT=/run/dlfuse
DLFUSE_MOUNT=$DLFUSE_ROOT/mnt
DLFUSE_IMAGE=$DLFUSE_MOUNT/root.img
DLFUSE_LOWER=/run/dlfuse-lower
DLFUSE_OVERLAY=/run/dlfuse-overlay
DLFUSE_UNIT=dlfuse-root.service
DLFUSE_READY_UNIT=dlfuse-ready.service
DLFUSE_ENDING_UNIT=dlfuse-ending@
# Notes of this boot: attached (the loop device, as soon as the image is mounted at DLFUSE_LOWER), fallback (one line,
# if the root did not come lazily), env, pid, cmdline (the kernel's, completed by dlfuse-ip.sh).
DLFUSE_STATE=/run/dlfuse-boot
DLFUSE_ATTACHED=$DLFUSE_STATE/attached
DLFUSE_KMSG=/dev/kmsg
# Public keys that this machine trusts. The directory itself says that there are some: if its keys are missing or
# broken, nothing is booted.
DLFUSE_KEYS=/etc/dlfuse/keys
# Certificates and header lines for requests, used if present.
DLFUSE_CA=/etc/dlfuse/ca.pem
DLFUSE_HEADERS=/etc/dlfuse/headers
# When the initramfs was made, in seconds since 1970.
DLFUSE_EPOCH=/usr/lib/clock-epoch

# Levels as in the kernel: 3 error, 4 warning, 6 information. A console with "quiet" shows up to 3, and a
# node with nothing to boot from has no better place to say why.
dlfuse_log() {
    # Most lines are short and need no program: 200 characters are 800 bytes at most.
    if [ ${#2} -le 200 ] && ! dlfuse_has_lines "$2"; then
        printf '%s\n' "<$1>dlfuse: $2" >"$DLFUSE_KMSG"
    else
        dlfuse_cut "dlfuse: $2" | while IFS= read -r _line; do
            printf '%s\n' "<$1>$_line" >"$DLFUSE_KMSG"
        done
    fi
    if command -v plymouth >/dev/null; then
        dlfuse_splash "dlfuse: $2" </dev/null >/dev/null 2>&1 9>&- &
    fi
}

# 0 if TEXT has more than one line.
dlfuse_has_lines() {
    case $1 in *"
"*) ;; *) return 1 ;; esac
}

# dlfuse_cut LINE: splits a line that is too long: the kernel refuses lines of 1000 bytes.
dlfuse_cut() { printf '%s\n' "$1" | LC_ALL=C sed 's/.\{800\}/&\ndlfuse: ... /g; s/\ndlfuse: ... $//'; }

# A splash hides the console. The boot does not wait for plymouth.
dlfuse_splash() { plymouth --ping && plymouth display-message --text="$1"; }

# Modules that cannot be loaded, or are built in, are passed over.
dlfuse_load_modules() { modprobe -qa "$@" 2>/dev/null || :; }

# dlfuse_make_directories DIRECTORY...: starts a program only where one is missing.
dlfuse_make_directories() {
    for _directory in "$@"; do
        [ -d "$_directory" ] || {
            mkdir -p "$@"
            return
        }
    done
}

# 0 if the file system type is known to the running kernel.
dlfuse_knows_filesystem() {
    while read -r _first _second; do
        [ "${_second:-$_first}" != "$1" ] || return 0
    done </proc/filesystems
    return 1
}

dlfuse_is_mounted() {
    while read -r _ _directory _; do
        [ "$_directory" != "$1" ] || return 0
    done </proc/mounts
    return 1
}

# Copies a file to the same path below the private root, following links: their targets are left behind.
dlfuse_keep_file() {
    [ -s "$1" ] || return 0
    dlfuse_make_directories "$DLFUSE_ROOT${1%/*}" && cp -L "$1" "$DLFUSE_ROOT$1"
}

dlfuse_make_private_root() {
    if ! dlfuse_is_mounted "$DLFUSE_ROOT"; then
        mkdir -p "$DLFUSE_ROOT"
        mount -t tmpfs -o mode=0755,nosuid,size=8m dlfuse "$DLFUSE_ROOT" || return 1
    fi
    dlfuse_make_directories "$DLFUSE_ROOT/dev" "$DLFUSE_ROOT/etc" "$DLFUSE_MOUNT"
    [ -e "$DLFUSE_ROOT/dev/fuse" ] || {
        mknod -m 0666 "$DLFUSE_ROOT/dev/null" c 1 3
        mknod -m 0666 "$DLFUSE_ROOT/dev/urandom" c 1 9
        mknod -m 0600 "$DLFUSE_ROOT/dev/kmsg" c 1 11
        mknod -m 0600 "$DLFUSE_ROOT/dev/fuse" c 10 229
    }
}

# The resolver's files come with the network, so this is done when the daemon starts.
dlfuse_fill_private_root() {
    local file
    dlfuse_write_resolver
    for file in /etc/resolv.conf /etc/hosts /etc/nsswitch.conf \
        /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
        dlfuse_keep_file "$file"
    done
}

# dlfuse_escape VALUE: with commas as libfuse wants them.
dlfuse_escape() {
    case $1 in
    *,*) printf '%s\n' "$1" | sed 's/,/\\,/g' ;;
    *) printf '%s\n' "$1" ;;
    esac
}

# The options that restrict the accepted images, for mount, download and fetch; nothing when all are accepted.
dlfuse_trust_options() {
    local options='' name value
    [ ! -d "$DLFUSE_KEYS" ] || options=,keys=$DLFUSE_KEYS
    for name in serial digest; do
        value=$(dlfuse_arg "rd.dlfuse.$name") || continue
        options="$options,$name=$(dlfuse_escape "$value")"
    done
    printf '%s\n' "${options#,}"
}

# The options for requests to servers; nothing when no argument sets any.
dlfuse_http_options() {
    local options='' value
    ! value=$(dlfuse_option proxy) || options=",proxy=$(dlfuse_escape "$value")"
    [ ! -e "$DLFUSE_CA" ] || options="$options,ca=$DLFUSE_CA"
    [ ! -e "$DLFUSE_HEADERS" ] || options="$options,headers=$DLFUSE_HEADERS"
    printf '%s\n' "${options#,}"
}

# The options for everything that mount, download and fetch download.
dlfuse_access_options() {
    local trust http
    trust=$(dlfuse_trust_options)
    http=$(dlfuse_http_options)
    printf '%s\n' "$trust${trust:+${http:+,}}$http"
}

# The options that select the image and its servers, for mount and download.
dlfuse_store_options() {
    local options value
    options=$(dlfuse_access_options)
    for value in $(dlfuse_options mirror); do
        options="$options,mirror=$(dlfuse_escape "$value")"
    done
    printf '%s\n' "${options#,}"
}

# The mount options that the kernel arguments ask for.
dlfuse_mount_options() {
    local options="rootfs,chroot=$DLFUSE_ROOT,log=kmsg,trouble=${DLFUSE_TROUBLE#"$DLFUSE_ROOT"}" name value
    for name in cache fill filldelay fillrate prefetch hedge boot ending report; do
        value=$(dlfuse_option $name) || continue
        options="$options,$name=$(dlfuse_escape "$value")"
    done
    value=$(dlfuse_store_options)
    options="$options${value:+,$value}"
    ! dlfuse_debugs || options="$options,debug"
    printf '%s\n' "$options"
}

# systemd is PID 1 of the initramfs: then the daemon must be a unit, or switching root would end it.
dlfuse_has_systemd() { [ -d /run/systemd/system ]; }

dlfuse_is_running() {
    if dlfuse_has_systemd; then
        # Before the first start systemd need not be asked.
        [ -e "/run/systemd/system/$DLFUSE_UNIT" ] && systemctl is-active --quiet $DLFUSE_UNIT
    else
        [ -s $DLFUSE_STATE/pid ] && kill -0 "$(cat $DLFUSE_STATE/pid)" 2>/dev/null
    fi
}

dlfuse_spawn() {
    local url="$1" options="$2"
    if dlfuse_has_systemd; then
        # In /run, because the unit must still be defined after switch_root, when the next PID 1 isolates its target.
        dlfuse_make_directories /run/systemd/system
        printf "DLFUSE_OPTIONS='%s'\nDLFUSE_URL='%s'\n" "$options" "$url" >$DLFUSE_STATE/env
        if [ -e "/run/systemd/system/$DLFUSE_UNIT" ]; then
            systemctl reset-failed $DLFUSE_UNIT 2>/dev/null
        else
            cp "/usr/lib/dlfuse/$DLFUSE_UNIT" /run/systemd/system/
        fi
        # Waits until the program runs, so that it does not count as missing.
        systemctl start $DLFUSE_UNIT
    else
        setsid dlfuse mount -f -o "$options" "$url" /mnt </dev/null >/dev/null 2>/dev/kmsg 9>&- &
        echo $! >$DLFUSE_STATE/pid
    fi
}

# systemd must not unmount the private root at shutdown while the real root still needs it; without default
# dependencies it leaves the mounts below it alone. The trailing dash covers everything below /run/dlfuse.
# An ext4 for labels of SELinux lies over the tmpfs that has its file: neither goes before the root.
dlfuse_protect_mounts() {
    local unit
    set -- run-dlfuse.mount run-dlfuse-.mount
    [ ! -d "$DLFUSE_OVERLAY/lost+found" ] || set -- "$@" 'run-dlfuse\x2doverlay.mount'
    for unit in "$@"; do
        dlfuse_make_directories "/run/systemd/system/$unit.d"
        printf '[Unit]\nDefaultDependencies=no\nIgnoreOnIsolate=yes\n' >"/run/systemd/system/$unit.d/10-dlfuse.conf"
    done
}

# Sets a clock that is behind the making of the initramfs to that time: a machine without a battery takes certificates for those
# of the future. Never backward: the later time is more likely to be right. The file has the time as a number; systemd goes by
# the file's time, which not every way to make an initramfs keeps.
dlfuse_set_clock() {
    local epoch='' now
    [ ! -s "$DLFUSE_EPOCH" ] || read -r epoch _ <"$DLFUSE_EPOCH" || :
    case $epoch in '' | *[!0-9]* | ????????????*) return 0 ;; esac
    now=$(date +%s) && [ "$now" -lt "$epoch" ] || return 0
    if date -s "@$epoch" >/dev/null; then
        dlfuse_log 4 "the clock said $(date -u -d "@$now" '+%Y-%m-%d'), it is set to $(date -u '+%Y-%m-%d %H:%M') UTC, when the initramfs was made"
    else
        dlfuse_log 3 "the clock says $(date -u '+%Y-%m-%d'), which is before the initramfs was made, and cannot be set"
    fi
}

dlfuse_prepare() {
    dlfuse_set_clock
    dlfuse_make_directories "$DLFUSE_STATE"
    dlfuse_check_arguments
    dlfuse_load_modules fuse loop overlay
    ! dlfuse_has_systemd || dlfuse_protect_mounts
    dlfuse_make_private_root || {
        dlfuse_log 3 "cannot make $DLFUSE_ROOT, the daemon's root; is there memory left?"
        return 1
    }
}

# dlfuse_start_daemon URL: 0 when the daemon has been started, now or before.
dlfuse_start_daemon() {
    local stale=no
    # In this order: a mount seen first and no daemon afterwards mean that it died.
    ! dlfuse_is_mounted "$DLFUSE_MOUNT" || stale=yes
    ! dlfuse_is_running || return 0
    dlfuse_is_mounted "$DLFUSE_ROOT" || dlfuse_prepare || return 1
    dlfuse_fill_private_root
    [ $stale = no ] || umount -l "$DLFUSE_MOUNT"
    dlfuse_log 6 "starting for $1"
    dlfuse_spawn "$1" "$(dlfuse_mount_options)"
}

# dlfuse_want TARGET UNIT INSTANCE: TARGET of the booted system starts UNIT, under the name INSTANCE.
dlfuse_want() {
    dlfuse_make_directories "/run/systemd/system/$1.wants"
    ln -sf "../$2" "/run/systemd/system/$1.wants/$3"
}

# dlfuse_pass_on_units DIR: makes the system at DIR leave the private root alone, and report the end of its boot and its
# shutdown. Only where that system is systemd: the directory itself makes programs believe that systemd is running. Other
# systems are ready when they have been quiet.
dlfuse_pass_on_units() {
    local unit=$DLFUSE_ENDING_UNIT
    dlfuse_has_systemd || [ -x "$1/lib/systemd/systemd" ] || [ -x "$1/usr/lib/systemd/systemd" ] || return 0
    dlfuse_protect_mounts
    dlfuse_make_directories /run/systemd/system /run/systemd/system/default.target.wants /run/systemd/system/poweroff.target.wants \
        /run/systemd/system/reboot.target.wants /run/systemd/system/kexec.target.wants
    cp "/usr/lib/dlfuse/$DLFUSE_READY_UNIT" "/usr/lib/dlfuse/$unit.service" /run/systemd/system/
    cp /usr/lib/dlfuse/dlfuse-ready.sh $DLFUSE_STATE/ready.sh
    dlfuse_want default.target $DLFUSE_READY_UNIT $DLFUSE_READY_UNIT
    dlfuse_want poweroff.target "$unit.service" "${unit}poweroff.service"
    dlfuse_want reboot.target "$unit.service" "${unit}reboot.service"
    # Whichever kernel comes next: a kernel that does not come is no reason to hang.
    dlfuse_want kexec.target "$unit.service" "${unit}reboot.service"
}

# systemd moved /run into the new root until version 253. Newer versions copy it, with the mounts in it, and take the
# originals out of the tree.
dlfuse_systemd_copies_run() {
    local version
    dlfuse_has_systemd || return 1
    version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge 254 ]
}

# dlfuse_move_private_root DIR: the daemon lives in such an original and sees no copy, so it could not unmount the copy
# at its end. So this function copies /run, and moves the daemon's root itself, so that there is only one of it. systemd
# leaves existing mounts in DIR alone. Shared mounts cannot be moved; systemd makes them private next as well.
dlfuse_move_private_root() {
    local aside=/dlfuse-aside
    # A daemon that had all of the image is gone by now, and its root with it.
    dlfuse_is_mounted "$DLFUSE_ROOT" || return 0
    mkdir -p "$aside" "$1/run" && mount --make-rprivate / && mount --move "$DLFUSE_ROOT" "$aside" || return 1
    if mount --rbind /run "$1/run"; then
        mount --move "$aside" "$1$DLFUSE_ROOT" && return 0
        umount -l "$1/run"
    fi
    ! dlfuse_is_mounted "$aside" || mount --move "$aside" "$DLFUSE_ROOT"
    return 1
}

# dlfuse_finish DIR: after the root is mounted at DIR. DLFUSE_LOWER stays mounted and visible: the hand-over looks
# there for the file system on the loop device, because some file systems do not survive it on some kernels.
dlfuse_finish() {
    local device
    read -r device <"$DLFUSE_ATTACHED" || return 0
    if [ ! -e $DLFUSE_FALLBACK ] && [ "$(dlfuse_option handover)" != 0 ]; then
        dlfuse handover "$DLFUSE_MOUNT" "$device" ||
            dlfuse_log 4 "the hand-over of $device is not armed: the daemon stays for as long as the node runs"
    fi
    # An image without a resolver of its own gets the initramfs' one, from the network.
    if [ -s /etc/resolv.conf ] && [ ! -L "$1/etc/resolv.conf" ] && [ ! -s "$1/etc/resolv.conf" ]; then
        dlfuse_add_file "$1" /etc/resolv.conf || dlfuse_log 4 "the image has no /etc/resolv.conf, and none can be added"
    fi
    dlfuse_pass_on_fstab "$1"
    dlfuse_set_host_name
    dlfuse_set_machine_id "$1"
    dlfuse_forget_default_dhcp
    dlfuse_pass_on_units "$1"
    ! dlfuse_has_systemd || [ -e $DLFUSE_FALLBACK ] || dlfuse_keep_network "$1"
    if [ ! -e $DLFUSE_FALLBACK ] && dlfuse_systemd_copies_run; then
        dlfuse_move_private_root "$1" ||
            dlfuse_log 4 "$DLFUSE_ROOT cannot be moved into the new root: it may stay mounted after the hand-over"
    fi
}

# shellcheck source=initramfs-hook/lib/dlfuse-arguments.sh
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-arguments.sh"
# shellcheck source=initramfs-hook/lib/dlfuse-image.sh
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-image.sh"
# shellcheck source=initramfs-hook/lib/dlfuse-overlay.sh
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-overlay.sh"
# shellcheck source=initramfs-hook/lib/dlfuse-fstab.sh
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-fstab.sh"
# shellcheck source=initramfs-hook/lib/dlfuse-boot.sh
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-boot.sh"
# shellcheck source=initramfs-hook/lib/dlfuse-network.sh
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-network.sh"
# shellcheck source=initramfs-hook/lib/dlfuse-machine-id.sh
. "${DLFUSE_LIB:-/usr/lib/dlfuse}/dlfuse-machine-id.sh"
