# shellcheck shell=sh
# dlfuse-image.sh: from a file that holds an image to a root filesystem. Sourced by dlfuse-lib.sh.
#
#   dlfuse_attach_file FILE   the image is on a loop device, mounted at DLFUSE_LOWER, and writes have a place
#   dlfuse_mount_root DIR     lower and upper become the root at DIR
#
# The supervisor (dlfuse-boot.sh) calls the first, the front the second; neither runs twice at a time.

# Read-ahead of the loop device. Direct I/O keeps the page cache from holding the image twice, and with it the only
# read-ahead is the block device's. Its default depends on the kernel: 128 in Linux 6.1, 512 to 8192 were seen in 6.18.
# With 512 a boot reads a tenth more than with 128 (docs/BENCHMARKS.md).
DLFUSE_READ_AHEAD_KB=128
# Types to try after the type that the image's own bytes suggest.
DLFUSE_TYPES='ext4 squashfs erofs xfs btrfs'
DLFUSE_DEV=/dev
DLFUSE_BLOCKS=/sys/block

# Keeps udev from probing the device for labels: blkid reads all over it, each read a chunk from the network.
# Below /run, so that it holds in the booted system as well.
dlfuse_hide_from_udev() {
    mkdir -p /run/udev/rules.d
    echo "KERNEL==\"${1##*/}\", ENV{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}=\"1\"" \
        >>/run/udev/rules.d/59-dlfuse.rules
    udevadm control --reload 2>/dev/null || :
}

# dlfuse_make_node DEVICE FILE: FILE is a node of this block device. Its numbers are the kernel's: with loop.max_part= the
# minor is not the one in the name.
dlfuse_make_node() {
    local numbers
    read -r numbers <"$DLFUSE_BLOCKS/${1##*/}/dev" || return 1
    rm -f "$2"
    mknod -m 0600 "$2" b "${numbers%%:*}" "${numbers##*:}"
}

# dlfuse_take_loop FILE [OPTION...]: prints the loop device that it attached to FILE, with these options or else with the first
# alone. Nodes come from devtmpfs, or are made here. Another program may take the free device first: then the next one is tried.
dlfuse_take_loop() {
    local file="$1" device _try
    shift
    [ -e "$DLFUSE_DEV/loop-control" ] || mknod -m 0600 "$DLFUSE_DEV/loop-control" c 10 237
    for _try in 1 2 3 4 5; do
        device=$(losetup -f) || return 1
        [ -e "$device" ] || dlfuse_make_node "$device" "$device" || return 1
        dlfuse_hide_from_udev "$device"
        if losetup "$@" "$device" "$file" 2>/dev/null || losetup ${1+"$1"} "$device" "$file"; then
            echo "$device"
            return
        fi
    done
    return 1
}

# dlfuse_attach_loop FILE: the same for an image.
dlfuse_attach_loop() {
    local device
    device=$(dlfuse_take_loop "$1" -r --direct-io=on) || return 1
    echo $DLFUSE_READ_AHEAD_KB >"$DLFUSE_BLOCKS/${device##*/}/queue/read_ahead_kb"
    echo "$device"
}

# 0 if a file system of this type shuts down when the device below it moves to another file. Linux 6.6 and later
# tell the holder of a loop device that it is dead (bdev_mark_dead); squashfs and erofs ignore that.
dlfuse_dies_with_its_device() {
    local release major minor
    case $1 in squashfs | erofs) return 1 ;; esac
    read -r release </proc/sys/kernel/osrelease
    major=${release%%.*}
    minor=${release#*.}
    minor=${minor%%[!0-9]*}
    [ "$major" -gt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -ge 6 ]; }
}

# dlfuse_has FILE OFFSET COUNT BYTES: 0 if the COUNT bytes of FILE at OFFSET are BYTES, in printf's notation. Both without
# zeros: a shell drops those.
dlfuse_has() {
    # shellcheck disable=SC2059 # octal escapes are what is wanted
    [ "$(dd if="$1" bs=1 skip="$2" count="$3")" = "$(printf "$4")" ]
} 2>/dev/null

# dlfuse_image_kind DEVICE: prints the type of its file system, or the kind of another content, as its bytes suggest; nothing
# for unknown bytes. The longest marks come first: two bytes may match by chance. The mark of ext4 has two. With the marks
# "clean" and "go on after errors" behind it, as mke2fs writes them, it is long enough for the first place. Nearly all of these
# bytes lie in the first block, which a boot reads anyway.
dlfuse_image_kind() {
    local offset count bytes kind
    while read -r offset count bytes kind; do
        ! dlfuse_has "$1" "$offset" "$count" "$bytes" || {
            echo "$kind"
            return
        }
    done <<'END'
1080 8 \123\357\001\001 ext4
0 4 hsqs squashfs
1024 4 \342\341\365\340 erofs
0 4 XFSB xfs
65600 8 _BHRfS_M btrfs
0 4 LUKS an encrypted disk (LUKS)
0 4 QFI\373 a disk of QEMU (qcow2)
0 4 \050\265\057\375 a packed file (zstd)
0 5 \3757zXZ a packed file (xz)
512 8 LABELONE a physical volume of LVM
512 8 EFI\040PART a partitioned disk (GPT)
0 2 \037\213 a packed file (gzip)
1080 2 \123\357 ext4
510 2 \125\252 a partitioned disk (MBR)
END
}

# dlfuse_kernel_says TYPE DEVICE: the kernel's messages since the last try, in one line. Neither squashfs nor the parser of
# mount options names the device.
dlfuse_kernel_says() {
    dmesg 2>/dev/null | sed -n "s|.*dlfuse: trying $1 on $2\$|=|p; t
        s/^\(<[0-9]*>\)*\[[^]]*\] *//; /: Mounting V/d; /[( ]${2##*/})/p; /^SQUASHFS error/p; /^$1: /p" |
        sed -n '/^=$/ { s/.*//; h; }; /./H; $ { g; s/^\n*//; s/\n/; /g; p; }'
}

# dlfuse_try_mount TYPE DEVICE OPTIONS: 0, or reason has the message of the kernel, or that of mount(8) if the kernel has none.
dlfuse_try_mount() {
    local log="$DLFUSE_STATE/mount.log"
    # For the kernel's log alone: a console does not show it.
    echo "<7>dlfuse: trying $1 on $2" >"$DLFUSE_KMSG"
    mount -t "$1" -o "$3" "$2" "$DLFUSE_LOWER" 2>"$log" && return 0
    reason=$(dlfuse_kernel_says "$1" "$2")
    [ -n "$reason" ] || reason=$(sed -n '/wrong fs type/d; 1s/^mount: [^:]*: //p' "$log")
    return 1
}

# dlfuse_mount_type TYPE DEVICE: with rootflags=. A copy of a running machine has a journal to replay, which a read-only
# device does not allow. Such an image is mounted as it was on the disk, and the console says so.
dlfuse_mount_type() {
    local flags journal first
    flags=$(dlfuse_arg rootflags) || flags=''
    # Two images of one disk, or an image and its disk, have the same UUID.
    [ "$1" != xfs ] || flags=${flags:+$flags,}nouuid
    flags=silent${flags:+,$flags},ro
    dlfuse_try_mount "$1" "$2" "$flags" && return 0
    case $1 in
    ext4) journal=noload ;;
    xfs) journal=norecovery ;;
    btrfs) journal=rescue=nologreplay ;;
    *) return 1 ;;
    esac
    first=$reason
    dlfuse_try_mount "$1" "$2" "$flags,$journal" || {
        reason=$first
        return 1
    }
    dlfuse_log 4 "the image was not unmounted before it was made: its journal is ignored ($journal), the newest changes may be missing; $1 says: $first"
}

dlfuse_detach_top() {
    [ -z "$top" ] || losetup -d "$top"
    top=''
}

# dlfuse_mount_as TYPE DEVICE: 1: reason says why. A file system that would die with the device gets a second loop device, top,
# on top of it. top holds the first device as a file, so the kernel does not tell the file system.
dlfuse_mount_as() {
    local on="$2"
    dlfuse_knows_filesystem "$1" || dlfuse_load_modules "$1"
    dlfuse_knows_filesystem "$1" || {
        reason="this kernel has no $1 (module $1)"
        return 1
    }
    if dlfuse_dies_with_its_device "$1"; then
        [ -n "$top" ] || top=$(dlfuse_attach_loop "$2") || top=''
        on=${top:-$2}
    fi
    dlfuse_mount_type "$1" "$on" || return 1
    [ "$on" = "$top" ] || dlfuse_detach_top
}

# dlfuse_mount_lower DEVICE: mounts it as the type that it looks like, or else as any other type. 1: why has its kind and the
# kernel's message about that. top is the mounted device, where it is not DEVICE.
dlfuse_mount_lower() {
    local device="$1" kind asked types type reason='' own=''
    dlfuse_make_directories "$DLFUSE_LOWER"
    kind=$(dlfuse_image_kind "$device")
    asked=$(dlfuse_arg rootfstype) && asked=$(printf '%s\n' "$asked" | sed 's/,/ /g')
    types=''
    case $kind in *' '*) ;; *) types=$kind ;; esac
    for type in $DLFUSE_TYPES; do
        [ "$type" = "$kind" ] || types="$types $type"
    done
    for type in ${asked:-$types}; do
        ! dlfuse_mount_as "$type" "$device" || return 0
        [ "$type" != "$kind" ] || own=$reason
    done
    dlfuse_detach_top
    # The messages of the other types do not matter.
    [ -n "$asked" ] || [ -z "$kind" ] || reason=$own
    # shellcheck disable=SC2034 # the caller's
    case $kind in
    '') why="the image has no file system that this kernel can mount; rootfstype= names one${reason:+ ($reason)}" ;;
    *' '*) why="the image is $kind, not a file system: dlfuse-chunker create needs the root file system alone" ;;
    *) why="the image is $kind, and cannot be mounted as ${asked:-$kind}: ${reason:-the kernel does not say why}" ;;
    esac
    return 1
}

# dlfuse_attach_file FILE: mounts the image in FILE at DLFUSE_LOWER. Else 1, and why has the failure; next is set
# where the way that brought FILE is the reason.
dlfuse_attach_file() {
    local device top=''
    device=$(dlfuse_attach_loop "$1") || {
        # shellcheck disable=SC2034 # the caller's
        why="cannot attach $1 to a loop device; does the kernel have the loop module?" next=download
        return 1
    }
    # The hand-over opens the device inside the private root.
    dlfuse_make_node "$device" "$DLFUSE_ROOT$device"
    dlfuse_mount_lower "$device" || {
        losetup -d "$device"
        return 1
    }
    dlfuse_prepare_overlay || {
        # shellcheck disable=SC2034
        why="the overlay cannot be made: $reason"
        umount "$DLFUSE_LOWER"
        dlfuse_detach_top
        losetup -d "$device"
        return 1
    }
    echo "$device" >"$DLFUSE_ATTACHED"
    dlfuse_log 6 "the image is mounted, from $device"
}
