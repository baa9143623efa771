# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# Packages of the programs under test, and a Debian into which they are installed as an administrator would. Sourced after
# boot.sh.
#
#   packages_build FORMAT            DEB or RPM: the packages, in $PACKAGES
#   packages_tree                    $TREE: a Debian with a kernel and dracut
#   packages_in COMMAND...           runs in there; $PACKAGES is /mnt
#   packages_file NAME               prints the path of the .deb of this name in there
#   packages_install NAME...         apt-get install of these; downloads are kept in $DLFUSE_CACHE/apt/RELEASE
#   packages_initramfs_tools         sets ARTIFACTS_INITRD and ARTIFACTS_KERNEL: by initramfs-tools and these packages

PACKAGES=$TMP/packages
TREE=$TMP/tree

packages_build() {
    if [ "$1" = DEB ] && [ "$ARTIFACTS_RELEASE" != "$(host_release)" ]; then
        PACKAGES=$ARTIFACTS_DLFUSE
        return
    fi
    require cpack dpkg-shlibdeps file
    mkdir -p "$PACKAGES"
    cpack --config "${DLFUSE_BIN_DIR%/bin}/CPackConfig.cmake" -G "$1" -B "$PACKAGES" >"$TMP/cpack.log" 2>&1 || {
        tail -n 20 "$TMP/cpack.log"
        die "cpack -G $1 failed"
    }
    rm -rf "$PACKAGES/_CPack_Packages"
}

packages_tree() {
    mkdir -p "$TREE"
    tar -C "$TREE" -x --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' -f "$DLFUSE_CACHE/$ARTIFACTS_RELEASE.tar" ||
        die "$DLFUSE_CACHE/$ARTIFACTS_RELEASE.tar cannot be unpacked"
    cp -L /etc/resolv.conf "$TREE/etc/resolv.conf"
    KERNEL_VERSION=$(basename "$(echo "$TREE"/lib/modules/*)")
}

# Mounts stay in a namespace of their own.
packages_in() {
    local apt=$DLFUSE_CACHE/apt/$ARTIFACTS_RELEASE
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    # $1 and $2 are the inner shell's.
    # shellcheck disable=SC2016
    DEBIAN_FRONTEND=noninteractive unshare --mount --propagation private sh -euc '
        tree=$1 packages=$2 apt=$3
        shift 3
        mount -t proc proc "$tree/proc"
        mount --rbind /dev "$tree/dev"
        mount -t sysfs -o ro sysfs "$tree/sys"
        mount --bind "$packages" "$tree/mnt"
        mount --bind "$apt/lists" "$tree/var/lib/apt/lists"
        mount --bind "$apt/archives" "$tree/var/cache/apt/archives"
        exec chroot "$tree" "$@"' sh "$TREE" "$PACKAGES" "$apt" "$@" </dev/null
}

packages_file() { echo "/mnt/$(basename "$PACKAGES/$1"_*.deb)"; }

# The cached lists may be too old for the mirror.
packages_install() {
    packages_apt_install "$@" && return 0
    packages_in apt-get -q -o Acquire::Retries=3 update >>"$TMP/apt.log" 2>&1 || true
    packages_apt_install "$@" || {
        tail -n 20 "$TMP/apt.log"
        die "apt-get install $* failed"
    }
}

packages_apt_install() {
    compgen -G "$DLFUSE_CACHE/apt/$ARTIFACTS_RELEASE/lists/*_Packages*" >/dev/null &&
        packages_in apt-get -q -y -o Acquire::Retries=3 --no-install-recommends install "$@" >>"$TMP/apt.log" 2>&1
}

packages_initramfs_tools() {
    local dir key
    key=$({
        stat -c '%s %Y' "$DLFUSE_CACHE/$ARTIFACTS_RELEASE.tar"
        cat "$SOURCE_DIR/tests/boot/packages.sh"
        cd "$ARTIFACTS_TREE" && find usr/share/initramfs-tools -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | artifacts_hash)
    if ! dir=$(artifacts_open initrd-initramfs-tools "$(echo "$ARTIFACTS_TREE_KEY $key" | artifacts_hash)"); then
        [ -d "$TREE/usr" ] || {
            packages_build DEB
            packages_tree
        }
        # As if the kernel's installation had made one: a package that brings a hook makes it anew.
        : >"$TREE/boot/initrd.img-$KERNEL_VERSION"
        packages_install initramfs-tools busybox "$(packages_file dlfuse)" "$(packages_file dlfuse-initramfs-tools)"
        cp "$TREE/boot/initrd.img-$KERNEL_VERSION" "$dir.new/initrd.img"
        cp "$TREE/boot/vmlinuz-$KERNEL_VERSION" "$dir.new/vmlinuz"
        # The program for /bin/sh where busybox is not installed.
        cp "$TREE/usr/lib/klibc/bin/sh" "$dir.new/klibc-sh"
        artifacts_close initrd-initramfs-tools "$dir"
    fi
    ARTIFACTS_KLIBC_SH=$dir/klibc-sh
    ARTIFACTS_INITRD=$dir/initrd.img
    ARTIFACTS_KERNEL=$dir/vmlinuz
}
