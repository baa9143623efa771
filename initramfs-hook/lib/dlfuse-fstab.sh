# shellcheck shell=sh
# dlfuse-fstab.sh: the fstab of an image that was made from a disk. Sourced by dlfuse-lib.sh.
#
# Such a file names the disk's partitions. Its line of / makes the booted system check, remount and grow a root that is already
# mounted, which fails. The other lines' disks are not in every machine: systemd waits 90 s for each and then gives the boot up.
# So in the overlay the line of / becomes a comment, and each other line of a local disk gets nofail and a shorter wait. A disk
# that is there is used as before, and before local-fs.target. Lines that say nofail, noauto or _netdev stay.

DLFUSE_DISK_SECONDS=15

# dlfuse_is_disk SPEC: 0 if the first field names a local disk, or a part of one.
dlfuse_is_disk() {
    case $1 in UUID=* | PARTUUID=* | LABEL=* | PARTLABEL=* | ID=* | /dev/*) ;; *) return 1 ;; esac
}

# dlfuse_fit_fstab: adapts the fstab on stdin to this machine, on stdout; unchanged lines stay byte by byte. 1: no line changes.
dlfuse_fit_fstab() {
    _changed=1
    while IFS= read -r _line || [ -n "$_line" ]; do
        if printf '%s\n' "$_line" | dlfuse_fit_line; then
            _changed=0
        else
            printf '%s\n' "$_line"
        fi
    done
    return $_changed
}

# 1: the line does not change.
dlfuse_fit_line() {
    local spec file type options rest target=local-fs.target
    read -r spec file type options rest
    case $spec in '#'* | '') return 1 ;; esac
    dlfuse_is_disk "$spec" || return 1
    if [ "$file" = / ]; then
        printf '# dlfuse: %s\n' "$spec $file $type $options $rest"
        return 0
    fi
    case ,$options, in *,nofail,* | *,noauto,* | *,_netdev,*) return 1 ;; esac
    [ "$type" != swap ] || target=swap.target
    options="${options:-defaults},nofail,x-systemd.before=$target,x-systemd.device-timeout=${DLFUSE_DISK_SECONDS}s"
    printf '%s\n' "$spec $file $type $options ${rest:-0 0}"
}

# dlfuse_pass_on_fstab DIR: adapts the fstab of the system at DIR. Through the overlay, where a changed file keeps its owner,
# mode and label; where the root is read-only, by a mount.
dlfuse_pass_on_fstab() {
    local file="$1/etc/fstab" fitted="$DLFUSE_STATE/fstab"
    [ -f "$file" ] && [ ! -L "$file" ] && dlfuse_keeps_labels "$1" || return 0
    dlfuse_fit_fstab <"$file" >"$fitted" || return 0
    if (cat "$fitted" >"$file") 2>/dev/null; then
        dlfuse_relabel "$1" /etc/fstab
    else
        mount --bind "$fitted" "$file" || return 0
    fi
    dlfuse_log 6 "the image's fstab names disks: its line of / is left out, others may be missing"
}
