# shellcheck shell=bash disable=SC2034
# Boots of real machines: sourced by each test of this directory.
#
# A test calls boot_prepare, writes the script that the booted node shall run (boot_agent, on stdin), and starts it with
# boot_start. The node reports on its second serial port, a line "KEY VALUE" for each finding; boot_expect compares one,
# boot_wait waits for one. Where several nodes run at a time, boot_node selects the node for the next calls.

# shellcheck source=tests/lib/case.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/case.sh"
ARTIFACTS_SOURCE=$SOURCE_DIR
# The default release, independent of this machine's: the tests name and count things of this release.
ARTIFACTS_RELEASE=bookworm
# shellcheck source=server-tools/lib/artifacts.sh
. "$SOURCE_DIR/server-tools/lib/artifacts.sh"
# shellcheck source=server-tools/lib/lab.sh
. "$SOURCE_DIR/server-tools/lib/lab.sh"

# A guest under TCG on two busy CPUs needs a minute and a half; only a hang takes this long, or a machine with much
# else to do.
BOOT_SECONDS=${BOOT_SECONDS:-300}

# The node boots root, which has no boot pack, or booted, which has one. BOOT_STORE is their place on the server.
BOOT_NAME=root
BOOT_STORE=store

# An emulated CPU pays for each switch of page tables, and a clock that is a device is asked for the time of every event: with
# these two a boot takes a tenth less of this machine's time. Keys for ssh take seconds each time, and no test logs in.
LAB_CONSOLE+=" mitigations=off tsc=reliable"
BOOT_WITHOUT="systemd.mask=ssh.service systemd.mask=dlfuse-ssh-keys.service systemd.mask=e2scrub_reap.service systemd.mask=getty@tty1.service"

# Messages that a console must not have while the node goes down.
BOOT_DIRT='Failed to (unmount|remount|detach|deactivate|kill)|[Tt]imed out|blocked for more than|soft lockup|Call Trace'
BOOT_DIRT+='|Processes still around|Freezing execution|Failed to execute|without it$|unmount(ing)? .*(dlfuse|busy)'

# The current node; lab.sh's variables for the others.
BOOT_NODE=node
# lab_network's.
BOOT_NETWORK=user
declare -A BOOT_NODES=()
BOOT_INITRD=
BOOT_QEMU=()
BOOT_FILES=()

# boot_node NAME: the next calls are about this node.
boot_node() {
    BOOT_NODES[$BOOT_NODE]="$LAB_VM_PID|$LAB_VM_DIR|$LAB_NODE_PORT|${LAB_VM_START_MS:-}"
    BOOT_NODE=$1
    [ -n "${BOOT_NODES[$1]:-}" ] || BOOT_NODES[$1]="||$(lab_free_port)|"
    IFS='|' read -r LAB_VM_PID LAB_VM_DIR LAB_NODE_PORT LAB_VM_START_MS <<<"${BOOT_NODES[$1]}"
}

# boot_prepare KIND MODULES [OMITTED]: an image of this kind, these dracut modules in the initramfs (artifacts_initramfs has
# the rest); or, with initramfs-tools for MODULES, an initramfs made by that, from packages (packages.sh). And a web server
# with the store.
boot_prepare() {
    boot_artifacts "$@"
    LAB_DIR=$TMP/lab
    mkdir -p "$LAB_DIR" "$TMP/www"
    ln -s "$ARTIFACTS_STORE" "$TMP/www/store"
    on_exit boot_end
    lab_network "$BOOT_NETWORK"
    lab_nginx_start "$TMP/www"
}

# boot_artifacts KIND MODULES [OMITTED]: the same without the web server.
boot_artifacts() {
    require_root
    require_programs_under_test
    require qemu-system-x86_64 nginx cpio curl cmake flock mksquashfs mkfs.ext4 mkfs.erofs
    [ -s "$DLFUSE_CACHE/$ARTIFACTS_RELEASE.tar" ] || require mmdebstrap
    mkdir -p "$DLFUSE_CACHE/boot"
    # Tests that start together share the artifacts that the first one makes.
    exec 7>"$DLFUSE_CACHE/boot/lock"
    flock 7
    boot_install
    artifacts_image "$1" || die "the image cannot be made"
    if [ "$2" = initramfs-tools ]; then
        packages_initramfs_tools
    else
        artifacts_initramfs "$2" "${3:-}" || die "the initramfs cannot be made"
    fi
    artifacts_store || die "the store cannot be made"
    [ "$BOOT_NAME" = root ] || {
        require jq
        artifacts_profile || die "the boot cannot be recorded"
    }
    exec 7>&-
}

# boot_install: artifacts_install of the programs under test, and packages of them in ARTIFACTS_DLFUSE where the nodes have another
# release than this machine.
boot_install() {
    local dir key
    artifacts_install "${DLFUSE_BIN_DIR%/bin}" || die "cmake --install failed"
    [ "$ARTIFACTS_RELEASE" != "$(host_release)" ] || return 0
    # Their key covers everything in the tree but tests and pages.
    key=$(cd "$SOURCE_DIR" && find . \( -name .git -o -path ./build -o -path ./tests -o -path ./bench -o -path ./docs -o -name '*.md' \) -prune -o \
        -type f -print | LC_ALL=C sort | xargs sha256sum | artifacts_hash)
    if ! dir=$(artifacts_open "debs-$ARTIFACTS_RELEASE" "$key"); then
        "$SOURCE_DIR/packaging/debs" "$ARTIFACTS_RELEASE" "$dir.new" >"$TMP/debs.log" || die "no packages for $ARTIFACTS_RELEASE"
        artifacts_close "debs-$ARTIFACTS_RELEASE" "$dir"
    fi
    ARTIFACTS_DLFUSE=$dir
}

# boot_name_server ADDRESS OPTION...: dnsmasq in a network of the test's own, with these further options, from now on. There
# mirror.lab is the name of ADDRESS, and the only name.
BOOT_NAME_SERVER_PID=
boot_name_server() {
    local address=$1
    shift
    boot_name_server_stop
    "${LAB_IN[@]}" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root \
        --log-facility="$LAB_DIR/dnsmasq.log" --address="/mirror.lab/$address" "$@" &
    BOOT_NAME_SERVER_PID=$!
}

boot_name_server_stop() {
    [ -n "$BOOT_NAME_SERVER_PID" ] || return 0
    end_process "$BOOT_NAME_SERVER_PID"
    BOOT_NAME_SERVER_PID=
}

boot_end() {
    local node
    boot_name_server_stop
    boot_node "$BOOT_NODE"
    for node in "${!BOOT_NODES[@]}"; do
        boot_node "$node"
        # The logs are the only clues to a failed boot.
        if [ "$FAILURES" -gt 0 ] && [ -n "$LAB_VM_DIR" ]; then
            echo "# report of $node:"
            tail -n 40 "$LAB_VM_DIR/serial.log" 2>/dev/null || true
            echo "# end of its console:"
            tail -n 60 "$LAB_VM_DIR/console.log" 2>/dev/null || true
        fi
        lab_vm_stop
    done
    lab_cleanup
}

# boot_agent: makes an initramfs with a node that runs the script on stdin, after the helpers of agent.sh, with BOOT_FILES
# beside it in /run/lab. Nodes started from then on get it.
boot_agent() {
    local initrd=$ARTIFACTS_INITRD
    cat "$SOURCE_DIR/tests/boot/agent.sh" - >"$TMP/agent.sh"
    BOOT_INITRD=$TMP/$BOOT_NODE.initrd
    # Unpacked here, and not by an emulated CPU.
    if [ "$(head -c 4 "$initrd" | od -An -tx1)" = " 28 b5 2f fd" ]; then
        initrd=$TMP/unpacked.initrd
        zstd -dqf "$ARTIFACTS_INITRD" -o "$initrd"
    fi
    lab_add_agent "$TMP/agent.sh" "$initrd" "$BOOT_INITRD" "$ARTIFACTS_IMAGE/root.sums" "${BOOT_FILES[@]}"
}

# boot_start KERNEL-ARGUMENT...: starts the node. BOOT_QEMU: further arguments for QEMU.
boot_start() {
    lab_vm_start "$BOOT_NODE" "$ARTIFACTS_KERNEL" "$BOOT_INITRD" \
        "root=dlfuse:$(lab_url "$BOOT_STORE/$BOOT_NAME.dlfuse") $BOOT_WITHOUT $*" "${BOOT_QEMU[@]}"
}

# boot_wait_ready: waits until nginx in the node answers.
boot_wait_ready() {
    local ms
    ms=$(lab_vm_wait_ready "$BOOT_SECONDS") || die "no answer from $BOOT_NODE's nginx within $BOOT_SECONDS s"
    pass "$BOOT_NODE, $ARTIFACTS_FILE: ready after $((ms / 1000)).$((ms % 1000 / 100)) s"
}

# boot_wait KEY SECONDS
boot_wait() {
    lab_wait_line "$2" "$LAB_VM_DIR/serial.log" "^$1( |\$)" || die "$BOOT_NODE does not report '$1' within $2 s"
}

# boot_value KEY: the node's last report for KEY.
boot_value() {
    tr -d '\r' <"$LAB_VM_DIR/serial.log" | sed -n "s/^$1 //p" | tail -n 1
}

# boot_console TEXT: the console has it.
boot_console() { check "$BOOT_NODE: the console says '$1'" grep -qaF -- "$1" "$LAB_VM_DIR/console.log"; }

# boot_expect KEY VALUE
boot_expect() { check_eq "$BOOT_NODE: $1" "$(boot_value "$1")" "$2"; }

# boot_expect_memory: the loop device that the node reported as backing stands on memory, not on a file of dlfuse.
boot_expect_memory() {
    case $(boot_value backing) in
    /memfd:*) pass "$BOOT_NODE: the loop device stands on memory" ;;
    *) fail "$BOOT_NODE: the loop device stands on $(boot_value backing)" ;;
    esac
}

# boot_wait_end SECONDS LINE: the node switches itself off or restarts in time; LINE is the kernel's last word.
boot_wait_end() {
    check "$BOOT_NODE: ends within $1 s" lab_vm_wait_end "$1"
    check "$BOOT_NODE: its kernel says '$2'" grep -qaF "$2" "$LAB_VM_DIR/console.log"
}

# boot_dirt: the first line of the node's console that speaks against a clean end.
boot_dirt() { tr -d '\r' <"$LAB_VM_DIR/console.log" | grep -aE "$BOOT_DIRT" | head -n 1 || true; }

boot_expect_clean() {
    check "$BOOT_NODE: its console has something" test -s "$LAB_VM_DIR/console.log"
    check_eq "$BOOT_NODE: what its console says against a clean end" "$(boot_dirt)" ""
}
