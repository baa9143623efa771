# shellcheck shell=bash disable=SC2034
# Boots of real machines: sourced by each test of this directory.
#
# A test calls boot_prepare, writes the script that the booted node shall run (boot_agent, on stdin), and starts it
# with boot_start. The node reports on its second serial port, a line "KEY VALUE" for each thing that it found
# out; boot_expect compares one, boot_wait waits for one.

# shellcheck source=tests/lib/case.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/case.sh"
ARTIFACTS_SOURCE=$SOURCE_DIR
# shellcheck source=server-tools/lib/artifacts.sh
. "$SOURCE_DIR/server-tools/lib/artifacts.sh"
# shellcheck source=server-tools/lib/lab.sh
. "$SOURCE_DIR/server-tools/lib/lab.sh"

# A guest under TCG on two busy CPUs needs a minute and a half; only a hang takes this long.
BOOT_SECONDS=300

# What the node boots: root has no boot pack, booted has one.
BOOT_NAME=root

# boot_prepare KIND MODULES: an image of this kind, these dracut modules in the initramfs; or, with initramfs-tools for
# MODULES, an initramfs made by that, from packages (packages.sh).
boot_prepare() {
    require_root
    require_programs_under_test
    require qemu-system-x86_64 nginx cpio curl cmake flock mksquashfs mkfs.ext4 mkfs.erofs
    [ -s "$DLFUSE_CACHE/bookworm.tar" ] || require mmdebstrap
    mkdir -p "$DLFUSE_CACHE/boot"
    # Tests that start together share what the first one makes.
    exec 7>"$DLFUSE_CACHE/boot/lock"
    flock 7
    artifacts_install "${DLFUSE_BIN_DIR%/bin}" || die "cmake --install failed"
    artifacts_image "$1" || die "the image cannot be made"
    if [ "$2" = initramfs-tools ]; then
        packages_initramfs_tools
    else
        artifacts_initramfs "$2" || die "the initramfs cannot be made"
    fi
    artifacts_store || die "the store cannot be made"
    [ "$BOOT_NAME" = root ] || {
        require jq
        artifacts_profile || die "the boot cannot be recorded"
    }
    exec 7>&-

    LAB_DIR=$TMP/lab
    mkdir -p "$LAB_DIR" "$TMP/www"
    ln -s "$ARTIFACTS_STORE" "$TMP/www/store"
    on_exit boot_end
    lab_network user
    lab_nginx_start "$TMP/www"
}

boot_end() {
    # The logs of a boot that went wrong are all there is to go by.
    if [ "$FAILURES" -gt 0 ] && [ -n "$LAB_VM_DIR" ]; then
        echo "# node's report:"
        tail -n 40 "$LAB_VM_DIR/serial.log" 2>/dev/null || true
        echo "# end of its console:"
        tail -n 60 "$LAB_VM_DIR/console.log" 2>/dev/null || true
    fi
    lab_cleanup
}

# boot_agent: makes an initramfs whose node runs the script on stdin, after the helpers below.
boot_agent() {
    cat "$SOURCE_DIR/tests/boot/agent.sh" - >"$TMP/agent.sh"
    lab_add_agent "$TMP/agent.sh" "$ARTIFACTS_INITRD" "$TMP/initrd.img" "$ARTIFACTS_IMAGE/root.sums"
}

# boot_start KERNEL-ARGUMENT...: starts the node.
boot_start() {
    lab_vm_start node "$ARTIFACTS_KERNEL" "$TMP/initrd.img" "root=dlfuse:$(lab_url store/$BOOT_NAME.dlfuse) $*"
}

# boot_wait_ready: until nginx in the node answers.
boot_wait_ready() {
    local ms
    ms=$(lab_vm_wait_ready $BOOT_SECONDS) || die "no answer from the node's nginx within $BOOT_SECONDS s"
    pass "$ARTIFACTS_FILE: ready after $((ms / 1000)).$((ms % 1000 / 100)) s"
}

# boot_wait KEY SECONDS
boot_wait() {
    lab_wait_line "$2" "$LAB_VM_DIR/serial.log" "^$1( |\$)" || die "the node does not report '$1' within $2 s"
}

# boot_value KEY: what the node reported last for KEY.
boot_value() {
    tr -d '\r' <"$LAB_VM_DIR/serial.log" | sed -n "s/^$1 //p" | tail -n 1
}

# boot_expect KEY VALUE
boot_expect() { check_eq "$1" "$(boot_value "$1")" "$2"; }

# boot_wait_end SECONDS LINE: the node switches itself off or restarts in time; LINE is the kernel's last word.
boot_wait_end() {
    check "the node ends within $1 s" lab_vm_wait_end "$1"
    check "its kernel says '$2'" grep -qaF "$2" "$LAB_VM_DIR/console.log"
}
