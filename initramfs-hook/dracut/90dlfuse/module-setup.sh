#!/bin/bash
# dracut module dlfuse: root=dlfuse:URL, a root filesystem over HTTP that ends up in memory.

# shellcheck disable=SC2154 # variables that dracut sets

# called by dracut
check() {
    require_binaries dlfuse losetup mknod setsid || return 1
    # Only on request: it brings the network with it.
    return 255
}

# called by dracut
depends() {
    # Any network module of dracut will do. A module that runs network root handlers gets one; for the others
    # (systemd-networkd in dracut 059) the job in initqueue/settled looks for an address.
    echo network base
}

# called by dracut
installkernel() {
    # The way to the root needs these and no more: images have these file systems.
    hostonly='' instmods fuse loop overlay ext4 squashfs erofs xfs btrfs
    [[ $hostonly ]] || return 0
    # The initramfs is for other machines, even if the rest of it is for this one only.
    dwarn "dlfuse: this initramfs has modules for this machine only, but for network interfaces; --no-hostonly makes one for all"
    hostonly='' instmods '=drivers/net/ethernet' '=drivers/net/phy' '=drivers/net/mdio' \
        virtio_net virtio_pci virtio_mmio vmxnet3 xen-netfront hv_netvsc
}

# The keys that this machine trusts: those of the machine where the initramfs is made. The directory comes first. If it
# exists without a key, the node refuses to start, so a failed copy never leads to an initramfs that trusts any image.
install_keys() {
    local keys=/etc/dlfuse/keys key
    local from=$dracutsysrootdir$keys
    [ -d "$from" ] && [ -n "$(ls -A "$from")" ] || return 0
    mkdir -p "$initdir$keys"
    for key in "$from"/*.pem; do
        cp -L "$key" "$initdir$keys/" || derror "dlfuse: the key $key is not in the initramfs"
    done
    [ -n "$(ls -A "$initdir$keys")" ] || derror "dlfuse: $from has no key: this initramfs will not boot"
}

install_private() {
    cp -L "$1" "$2" && chmod 0600 "$2"
}

# The build host's certificates and header lines. The node takes the header lines only from a file that no other user can read.
install_http() {
    local at=/etc/dlfuse name
    for name in ca.pem headers; do
        [ -e "$dracutsysrootdir$at/$name" ] || continue
        mkdir -p "$initdir$at"
        install_private "$dracutsysrootdir$at/$name" "$initdir$at/$name" ||
            derror "dlfuse: $at/$name is not in the initramfs"
    done
}

# The node's clock starts no earlier than this; systemd as PID 1 goes by the file's time.
install_epoch() {
    local epoch="${SOURCE_DATE_EPOCH:-$(date +%s)}"
    # A time before 2020 is a constant of the build system. systemd sets back a clock that is 15 years later than the file.
    [ "$epoch" -ge 1577836800 ] || return 0
    mkdir -p "$initdir/usr/lib"
    echo "$epoch" >"$initdir/usr/lib/clock-epoch"
    touch -d "@$epoch" "$initdir/usr/lib/clock-epoch"
}

# called by dracut
install() {
    local name
    inst_multiple dlfuse losetup mknod setsid mount umount modprobe mkdir cp cat sed sleep flock ln dd date rm dmesg sha256sum
    install_keys
    install_epoch
    install_http
    # For rd.dlfuse.full=: the unpackers that the build host has. For images with SELinux: mke2fs.
    inst_multiple -o zstd lz4 xz gzip mke2fs
    inst_multiple -o /etc/nsswitch.conf /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
    # The C library loads these by name; it has them built in since 2.34.
    inst_libdir_file "libnss_dns.so*" "libnss_files.so*"

    # The units also where the initramfs lacks systemd: the booted system runs them.
    for name in dlfuse-lib.sh dlfuse-words.sh dlfuse-arguments.sh dlfuse-image.sh dlfuse-overlay.sh dlfuse-fstab.sh dlfuse-boot.sh \
        dlfuse-network.sh dlfuse-machine-id.sh dlfuse-keep-network.sh dlfuse-ip.sh dlfuse-ready.service dlfuse-ready.sh dlfuse-ending@.service; do
        inst_simple "$dracutsysrootdir/usr/lib/dlfuse/$name" "/usr/lib/dlfuse/$name"
    done
    inst_simple "$moddir/dlfuse-dracut.sh" /usr/lib/dlfuse/dlfuse-dracut.sh
    inst_hook cmdline 90 "$moddir/parse-dlfuse.sh"
    inst_hook pre-udev 90 "$moddir/dlfuse-prepare.sh"
    inst_hook initqueue/settled 90 "$moddir/dlfuse-attach.sh"
    inst_hook mount 90 "$moddir/dlfuse-mount.sh"
    inst_hook emergency 50 "$moddir/dlfuse-emergency.sh"
    inst_hook pre-pivot 90 "$moddir/dlfuse-finish.sh"
    inst_script "$moddir/dlfuseroot.sh" /sbin/dlfuseroot
    if dracut_module_included systemd-initrd; then
        inst_simple "$dracutsysrootdir/usr/lib/dlfuse/dlfuse-root.service" /usr/lib/dlfuse/dlfuse-root.service
        inst_script "$moddir/dlfuse-generator.sh" "$systemdutildir/system-generators/dracut-dlfuse-generator"
        inst_simple "$moddir/dlfuse-pass-ip.sh" /usr/lib/dlfuse/dlfuse-pass-ip.sh
        inst_simple "$dracutsysrootdir/usr/lib/dlfuse/dlfuse-ip.service" "$systemdsystemunitdir/dlfuse-ip.service"
        mkdir -p "$initdir$systemdsystemunitdir/sysinit.target.wants"
        ln -sf ../dlfuse-ip.service "$initdir$systemdsystemunitdir/sysinit.target.wants/dlfuse-ip.service"
    else
        inst_hook cmdline 10 "$moddir/dlfuse-pass-ip.sh"
    fi
    dracut_need_initqueue
}
