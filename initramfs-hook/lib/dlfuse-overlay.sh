# shellcheck shell=sh
# dlfuse-overlay.sh: the root over the image, and the place for writes to it. Sourced by dlfuse-lib.sh.
#
# The upper directory shows through as the root directory itself, so it gets owner, mode, ACLs and security labels of the
# image's own. It lies on a tmpfs. SELinux ignores the labels that a tmpfs stores: when the booted system loads its policy,
# every existing inode of the tmpfs becomes tmpfs_t, and so would the root directory. So for a system that will load a
# policy, the upper directory lies on an ext4 in a sparse file on that tmpfs: an ext4 keeps labels.
#
#   dlfuse_prepare_overlay   DLFUSE_OVERLAY has upper and work, unless the root is read-only; once
#   dlfuse_mount_root DIR    the root at DIR
#   dlfuse_add_file DIR PATH the system at DIR gets the initramfs' file PATH
#   dlfuse_relabel DIR PATH  PATH was made or changed in the system at DIR: it and the directories above it get their labels

DLFUSE_MEMINFO=/proc/meminfo
DLFUSE_SELINUX=/sys/fs/selinux
DLFUSE_RELABEL=/run/systemd/relabel-extra.d

dlfuse_overlay_kind() { dlfuse_option overlay || echo tmpfs; }

# 0 if the system at DIR is going to load a policy of SELinux: the kernel has it, and its configuration does not turn it off.
dlfuse_loads_policy() {
    [ -d "$DLFUSE_SELINUX" ] &&
        [ -n "$(sed -n '/^[[:space:]]*SELINUX=[[:space:]]*\(enforcing\|permissive\)/p' "$1/etc/selinux/config" 2>/dev/null)" ]
}

# dlfuse_memory_half: KiB. The default size of a tmpfs.
dlfuse_memory_half() { sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' "$DLFUSE_MEMINFO" | while read -r _kib; do echo $((_kib / 2)); done; }

# dlfuse_mount_labelled: an ext4 at DLFUSE_OVERLAY, over the tmpfs with its file. No journal: the file system does not outlive
# the machine. Deleted blocks go back to the tmpfs (discard). The tmpfs is larger than the file: it must not be full before the
# file is.
dlfuse_mount_labelled() {
    local kib file="$DLFUSE_OVERLAY/upper.ext4" device
    kib=$(dlfuse_memory_half)
    mount -o "remount,size=$((kib + 1024))k" "$DLFUSE_OVERLAY" &&
        dd if=/dev/null of="$file" bs=1024 seek="$kib" 2>/dev/null &&
        mke2fs -q -F -t ext4 -m 0 -O ^has_journal,^resize_inode "$file" >"$DLFUSE_STATE/mkfs.log" 2>&1 || return 1
    dlfuse_load_modules ext4
    device=$(dlfuse_take_loop "$file") || return 1
    mount -t ext4 -o discard,barrier=0,noinit_itable "$device" "$DLFUSE_OVERLAY" && return 0
    losetup -d "$device"
    return 1
}

# 1: reason says why.
dlfuse_prepare_overlay() {
    [ "$(dlfuse_overlay_kind)" = tmpfs ] && ! dlfuse_is_mounted "$DLFUSE_OVERLAY" || return 0
    dlfuse_make_directories "$DLFUSE_OVERLAY"
    mount -t tmpfs -o mode=0755 dlfuse-overlay "$DLFUSE_OVERLAY" || {
        # shellcheck disable=SC2034 # the caller's
        reason="no tmpfs can be mounted at $DLFUSE_OVERLAY"
        return 1
    }
    if dlfuse_loads_policy "$DLFUSE_LOWER"; then
        dlfuse_mount_labelled || {
            rm -f "$DLFUSE_OVERLAY/upper.ext4"
            dlfuse_log 3 "no ext4 for labels of SELinux (is mke2fs in the initramfs?): the root directory will be tmpfs_t"
        }
    fi
    mkdir "$DLFUSE_OVERLAY/upper" "$DLFUSE_OVERLAY/work"
    dlfuse copy-attributes "$DLFUSE_LOWER" "$DLFUSE_OVERLAY/upper" 2>"$DLFUSE_STATE/attributes.log" ||
        dlfuse_log 4 "the root directory is not quite the image's: $(dlfuse_last_line "$DLFUSE_STATE/attributes.log")"
}

# Mount options of the overlay; the generator writes the same ones into a unit.
dlfuse_overlay_options() {
    echo "lowerdir=$DLFUSE_LOWER,upperdir=$DLFUSE_OVERLAY/upper,workdir=$DLFUSE_OVERLAY/work"
}

# dlfuse_mount_root DIR
dlfuse_mount_root() {
    if [ "$(dlfuse_overlay_kind)" = tmpfs ]; then
        mount -t overlay -o "$(dlfuse_overlay_options)" dlfuse "$1"
    else
        mount --bind "$DLFUSE_LOWER" "$1"
    fi
}

# dlfuse_keeps_labels DIR: 0 if a changed file in the system at DIR keeps the label that it needs, the one of the lower file.
dlfuse_keeps_labels() { ! dlfuse_loads_policy "$1" || ! dlfuse_is_mounted "$DLFUSE_OVERLAY" || [ -d "$DLFUSE_OVERLAY/lost+found" ]; }

# A new file gets the label of /etc/hosts, until systemd has loaded the policy.
dlfuse_add_file() {
    local new=no
    dlfuse_keeps_labels "$1" || return 1
    [ -e "$1$2" ] || new=yes
    (cat "$2" >"$1$2") 2>/dev/null || return 1
    dlfuse_loads_policy "$1" || return 0
    [ $new = no ] || [ ! -e "$1/etc/hosts" ] || dlfuse copy-attributes "$1/etc/hosts" "$1$2"
    dlfuse_relabel "$1" "$2"
}

# Where the kernel has SELinux and no policy yet, copying a file or a directory up loses its label. So PATH and all directories
# above it are labelled again, as in the image. Paths that the image lacks are left to systemd.
dlfuse_relabel() {
    local path="$2"
    dlfuse_loads_policy "$1" || return 0
    while [ -n "$path" ]; do
        if [ -e "$DLFUSE_LOWER$path" ]; then
            dlfuse copy-attributes "$DLFUSE_LOWER$path" "$1$path"
        else
            mkdir -p "$DLFUSE_RELABEL"
            echo "$path" >>"$DLFUSE_RELABEL/dlfuse.relabel"
        fi
        path=${path%/*}
    done
}
