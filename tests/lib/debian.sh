# shellcheck shell=bash disable=SC2034
# A real Debian of this machine's release for cases: systemd, sshd, nginx, python3 in an ext4 image of 1.25 GiB, by
# server-tools/dlfuse-mkroot. Kept in ${DLFUSE_CACHE:-~/.cache/dlfuse} for the next run.
#
#   debian_image    sets DEBIAN_IMAGE (root.img) and DEBIAN_SUMS (SHA-256 of every file in it)

# shellcheck source=server-tools/lib/release.sh
. "$SOURCE_DIR/server-tools/lib/release.sh"
DLFUSE_CACHE=${DLFUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dlfuse}

debian_image() {
    local release dir
    release=$(host_release)
    dir=$DLFUSE_CACHE/case-$release
    require_root
    require mmdebstrap mkfs.ext4 mksquashfs flock
    mkdir -p "$dir"
    # Two cases may want it at the same time.
    exec 8>"$dir/lock"
    flock 8
    if [ ! -e "$dir/root.img" ] || [ ! -e "$dir/root.sums" ]; then
        note "building a Debian image in $dir"
        "$SOURCE_DIR/server-tools/dlfuse-mkroot" --quiet --sums \
            --release "$release" --tarball "$DLFUSE_CACHE/$release.tar" "$dir" || die "dlfuse-mkroot fails"
    fi
    exec 8>&-
    DEBIAN_IMAGE=$dir/root.img
    DEBIAN_SUMS=$dir/root.sums
}
