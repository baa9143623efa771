# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# artifacts.sh: the parts of a boot, made once and kept: image, kernel, initramfs, store.
#
# Each lies in a directory of $DLFUSE_CACHE (default ~/.cache/dlfuse). The directory's name has a hash of all inputs; a new
# one replaces the directory of the old inputs. Needs $ARTIFACTS_SOURCE, the source tree.
#
#   artifacts_install BUILD       sets ARTIFACTS_TREE: dlfuse as a package would install it; and ARTIFACTS_DLFUSE, the
#                                 source for the initramfs, to the same
#   artifacts_image KIND          sets ARTIFACTS_IMAGE (a directory with ARTIFACTS_FILE and root.sums);
#                                 KIND is ext4, squashfs or erofs; or small: a squashfs, without files that only the
#                                 initramfs (kernel, modules) and people (manuals, other languages) need, as in erofs
#   artifacts_initramfs MODULES [OMITTED]
#                                 sets ARTIFACTS_INITRD, with these dracut modules, and ARTIFACTS_KERNEL; dracut leaves
#                                 out the modules OMITTED and all modules that depend on them
#   artifacts_store               sets ARTIFACTS_STORE: a store with this image under the name root
#   artifacts_profile             adds the image once more to this store, under the name booted, with a boot pack that
#                                 dlfuse-record makes in QEMU with this initramfs

# Takes the tree's path as one more word.
ARTIFACTS_TRIM="sh -c 'cd \"\$1\" && rm -rf boot/* usr/lib/modules usr/lib/binfmt.d usr/lib/udev/hwdb.* usr/share/doc usr/share/locale usr/share/man' trim"
DLFUSE_CACHE=${DLFUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dlfuse}
# shellcheck source=server-tools/lib/release.sh
. "$ARTIFACTS_SOURCE/server-tools/lib/release.sh"
# The nodes' release. Any but this machine's needs in ARTIFACTS_DLFUSE a directory with packages for it (packaging/debs).
ARTIFACTS_RELEASE=${ARTIFACTS_RELEASE:-$(host_release)}
ARTIFACTS_DLFUSE=
# One network module for all kinds of boots. Debian 12's livenet works with network-legacy only, for which Debian 13 lacks a
# DHCP client.
ARTIFACTS_ALL_MODULES=dlfuse,livenet
[ "$ARTIFACTS_RELEASE" != bookworm ] || ARTIFACTS_ALL_MODULES=network-legacy,dlfuse,livenet

artifacts_hash() { sha256sum | cut -c 1-16; }

# artifacts_open NAME KEY: prints the directory for NAME; 1 if it is new and has to be filled (as DIR.new).
artifacts_open() {
    local dir=$DLFUSE_CACHE/boot/$1-$2
    echo "$dir"
    [ ! -d "$dir" ] || return 0
    rm -rf "$dir.new"
    mkdir -p "$dir.new"
    return 1
}

# artifacts_close NAME DIR: DIR.new is complete; others of this name are out of date.
artifacts_close() {
    local old
    mv "$2.new" "$2"
    for old in "$DLFUSE_CACHE/boot/$1-"*; do
        [ "$old" = "$2" ] || rm -rf "$old"
    done
}

artifacts_install() {
    ARTIFACTS_TREE=$DLFUSE_CACHE/boot/tree
    ARTIFACTS_DLFUSE=$ARTIFACTS_TREE
    rm -rf "$ARTIFACTS_TREE.new"
    mkdir -p "$ARTIFACTS_TREE.new"
    DESTDIR=$ARTIFACTS_TREE.new cmake --install "$1" --prefix /usr --strip >/dev/null || return 1
    # An unchanged tree stays: other programs may be using it.
    if diff -qr --no-dereference "$ARTIFACTS_TREE" "$ARTIFACTS_TREE.new" >/dev/null 2>&1; then
        rm -rf "$ARTIFACTS_TREE.new"
    else
        rm -rf "$ARTIFACTS_TREE"
        mv "$ARTIFACTS_TREE.new" "$ARTIFACTS_TREE"
    fi
    ARTIFACTS_TREE_KEY=$(cd "$ARTIFACTS_TREE" && find usr/bin/dlfuse usr/lib -type f -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | artifacts_hash)
}

artifacts_mkroot() {
    "$ARTIFACTS_SOURCE/server-tools/dlfuse-mkroot" --quiet --release "$ARTIFACTS_RELEASE" \
        --tarball "$DLFUSE_CACHE/$ARTIFACTS_RELEASE.tar" "$@"
}

artifacts_image() {
    local name=image-$1 format=$1 key
    local -a more=()
    ARTIFACTS_KIND=$1
    ARTIFACTS_FILE=root.$1
    # The program's text stands for the packages that it installs and for the way it makes an image. dlfuse's own packages
    # name more dependencies, a tree names none.
    ARTIFACTS_IMAGE_KEY=$({
        cat "$ARTIFACTS_SOURCE/server-tools/dlfuse-mkroot" "$ARTIFACTS_SOURCE"/server-tools/lib/mkroot/*.*
        echo "$ARTIFACTS_RELEASE"
        dpkg-deb -f "$ARTIFACTS_DLFUSE"/dlfuse_*.deb Depends 2>/dev/null || true
    } | artifacts_hash)
    key=$ARTIFACTS_IMAGE_KEY
    case $1 in
    ext4) ARTIFACTS_FILE=root.img ;;
    squashfs | small) format=squashfs:lz4 ARTIFACTS_FILE=root.squashfs ;;
    esac
    case $1 in
    small | erofs)
        more=(--customize "$ARTIFACTS_TRIM")
        key=$(echo "$key $ARTIFACTS_TRIM" | artifacts_hash)
        ;;
    esac
    if ! ARTIFACTS_IMAGE=$(artifacts_open "$name" "$key"); then
        artifacts_mkroot --sums --format "$format" ${ARTIFACTS_DLFUSE:+--dlfuse "$ARTIFACTS_DLFUSE"} "${more[@]}" \
            --no-initramfs "$ARTIFACTS_IMAGE.new" || return 1
        artifacts_close "$name" "$ARTIFACTS_IMAGE"
    fi
}

artifacts_initramfs() {
    local dir name=initrd-${1//,/-}
    local -a omit=()
    if [ -n "${2:-}" ]; then
        name=initrd-without-${2//,/-}-with-${1//,/-}
        omit=(--dracut-args "--omit ${2//,/ --omit }")
    fi
    if ! dir=$(artifacts_open "$name" "$(echo "$ARTIFACTS_IMAGE_KEY $ARTIFACTS_TREE_KEY" | artifacts_hash)"); then
        artifacts_mkroot --format none --dlfuse "$ARTIFACTS_DLFUSE" --add "$1" "${omit[@]}" "$dir.new" || return 1
        artifacts_close "$name" "$dir"
    fi
    ARTIFACTS_INITRD=$dir/initrd.img
    # From the same tree as the initramfs, so that its modules fit.
    ARTIFACTS_KERNEL=$dir/vmlinuz
}

artifacts_store() {
    local chunker=$ARTIFACTS_TREE/usr/bin/dlfuse-chunker name=store-$ARTIFACTS_KIND
    if ! ARTIFACTS_STORE=$(artifacts_open "$name" \
        "$({ echo "${ARTIFACTS_IMAGE##*-}" && cat "$chunker"; } | artifacts_hash)"); then
        "$chunker" create --store "$ARTIFACTS_STORE.new" --name root "$ARTIFACTS_IMAGE/$ARTIFACTS_FILE" \
            >/dev/null || return 1
        artifacts_close "$name" "$ARTIFACTS_STORE"
    fi
}

artifacts_profile() {
    # The chunks are there already: the store gains a boot pack and a manifest.
    [ -e "$ARTIFACTS_STORE/booted.dlfuse" ] ||
        DLFUSE_BIN_DIR=$ARTIFACTS_TREE/usr/bin "$ARTIFACTS_SOURCE/server-tools/dlfuse-record" --qemu --json \
            --kernel "$ARTIFACTS_KERNEL" --initrd "$ARTIFACTS_INITRD" --timeout 600 \
            --store "$ARTIFACTS_STORE" --name booted "$ARTIFACTS_IMAGE/$ARTIFACTS_FILE" >"$ARTIFACTS_STORE.json"
}
