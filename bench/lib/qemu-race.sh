# shellcheck shell=bash disable=SC2034
# boot-race --qemu: the same race with machines of QEMU, a real dracut initramfs and the kernel arguments
# that people use. Sourced by boot-race after its own parts; what has the same name here takes their place.
#
# RAM is MemTotal less MemAvailable in the machine, as an agent in it says through a serial port: all
# that the machine uses, its programs included.

# shellcheck source=/dev/null
. "$SOURCE_DIR/server-tools/lib/artifacts.sh"
# shellcheck source=/dev/null
. "$SOURCE_DIR/server-tools/lib/lab.sh"

RACERS=(local dlfuse-profile dlfuse full-ext4 full-squashfs nbd)
QEMU_SECONDS=600

# Images of its own: nbd-client must be in the tree that the initramfs is made from.
artifacts_mkroot() {
    "$ARTIFACTS_SOURCE/server-tools/dlfuse-mkroot" --quiet --release "$ARTIFACTS_RELEASE" --include nbd-client \
        --tarball "$DLFUSE_CACHE/$ARTIFACTS_RELEASE.tar" "$@"
}

racer_installed() {
    WHY="nbdkit is not installed"
    [ "$1" != nbd ] || command -v nbdkit >/dev/null
}

# The machine's network is not this one's.
nginx_answers() {
    "${NETWORK_IN[@]}" curl -s -o /dev/null --max-time 1 "http://$NGINX_ADDRESS:$1/nothing-here"
}

qemu_agent() {
    cat <<'END'
#!/bin/sh
exec >/dev/ttyS1 2>&1
used() {
    while read -r key value _; do
        case $key in
        MemTotal:) total=$value ;;
        MemAvailable:) available=$value ;;
        esac
    done </proc/meminfo
    used=$((total - available))
}
used
peak=$used
echo "ready $used"
while grep -q ' fuse\.dlfuse ' /proc/mounts; do
    used
    [ "$used" -le "$peak" ] || peak=$used
    sleep 0.5
done
used
echo "end $used $peak"
END
}

publish_race() {
    require qemu-system-x86_64 cpio cmake flock mksquashfs mkfs.ext4 mmdebstrap
    ARTIFACTS_SOURCE=$SOURCE_DIR
    DLFUSE_CACHE=$DLFUSE_CACHE/bench/qemu
    mkdir -p "$DLFUSE_CACHE/boot"
    exec 7>"$DLFUSE_CACHE/boot/lock"
    flock 7
    note "image, kernel, initramfs and store (kept in $DLFUSE_CACHE)"
    artifacts_install "${DLFUSE_BIN_DIR%/bin}" || die "cmake --install fails"
    artifacts_image ext4 || die "the image cannot be made"
    artifacts_initramfs "$ARTIFACTS_ALL_MODULES,nbd" || die "the initramfs cannot be made"
    artifacts_store || die "the store cannot be made"
    artifacts_profile || die "the boot cannot be recorded"
    exec 7>&-
    IMAGE=$ARTIFACTS_IMAGE/$ARTIFACTS_FILE
    BOOT_PACK=boot/$(awk '$1 == "boot" {print $2}' "$ARTIFACTS_STORE/booted.dlfuse")
    BOOT_PACK_BYTES=$(stat -c %s "$ARTIFACTS_STORE/$BOOT_PACK")

    LAB_DIR=$TMP/lab
    WWW=$TMP/www
    mkdir "$LAB_DIR" "$WWW"
    ln -s "$ARTIFACTS_STORE" "$WWW/store"
    ln -s "$IMAGE" "$WWW/root.img"
    if is_chosen full-squashfs; then
        race_squashfs
        ln -s "$SQUASHFS" "$WWW/root.squashfs"
    fi
    qemu_agent >"$TMP/agent.sh"
    lab_add_agent "$TMP/agent.sh" "$ARTIFACTS_INITRD" "$TMP/initrd.img"
    on_exit lab_cleanup
    lab_network 1gbit || die "no network"
    NETWORK=$LAB_NAMESPACE
    NETWORK_DEVICE=lab0
    NETWORK_IN=(nsenter "--net=/run/netns/$NETWORK")
    NGINX_IN=("${NETWORK_IN[@]}")
    NGINX_ADDRESS=$LAB_SERVER_ADDRESS
    start_mirror "$WWW"
    ! is_chosen nbd || start_nbd
    write_facts
}

# The server of root=nbd:, behind the same network.
NBD_BACKEND=
start_nbd() {
    NBD_BACKEND=127.0.0.1:10809
    "${NETWORK_IN[@]}" nbdkit --foreground --readonly --ipaddr 127.0.0.1 --port 10809 file "$IMAGE" \
        >"$TMP/nbdkit.log" 2>&1 &
    on_exit end_process "$!"
}

qemu_arguments() {
    case $1 in
    local) echo "root=/dev/vda rw" ;;
    dlfuse) echo "root=dlfuse:$MIRROR_URL/store/root.dlfuse" ;;
    dlfuse-profile) echo "root=dlfuse:$MIRROR_URL/store/booted.dlfuse" ;;
    full-ext4) echo "root=live:$MIRROR_URL/root.img rd.live.overlay.overlayfs=1" ;;
    full-squashfs) echo "root=live:$MIRROR_URL/root.squashfs rd.live.overlay.overlayfs=1" ;;
    nbd) echo "root=nbd:$NGINX_ADDRESS:${PROXY_PORT["$MIRROR_RTT $NBD_BACKEND"]}:ext4 ro rootovl" ;;
    esac
}

# qemu_said WORD NUMBER: that field of the agent's line.
qemu_said() {
    tr -d '\r' <"$LAB_VM_DIR/serial.log" | awk -v word="$1" -v n="$2" '$1 == word {print $n}'
}

race_once() {
    local racer=$1 pair=$2 ms end=null peak=null
    local -a drive=()
    [ "$racer" != local ] || drive=(-drive "file=$IMAGE,format=raw,if=virtio,snapshot=on")
    [ "$racer" != nbd ] || [ -n "${PROXY_PORT["$MIRROR_RTT $NBD_BACKEND"]:-}" ] || start_proxy "$MIRROR_RTT" "$NBD_BACKEND"
    drop_caches
    cat "$ARTIFACTS_KERNEL" "$TMP/initrd.img" "$IMAGE" ${SQUASHFS:+"$SQUASHFS"} >/dev/null
    find "$ARTIFACTS_STORE/" -type f -exec cat {} + >/dev/null
    race_observe begin
    lab_vm_start "$racer" "$ARTIFACTS_KERNEL" "$TMP/initrd.img" "$LAB_STATIC_IP $(qemu_arguments "$racer")" \
        ${drive[@]+"${drive[@]}"}
    lab_wait_line "$QEMU_SECONDS" "$LAB_VM_DIR/serial.log" '^ready ' || {
        tail -n 20 "$LAB_VM_DIR/console.log"
        die "$racer does not boot at $MIRROR_RATE and $MIRROR_RTT ms"
    }
    ms=$(($(lab_now_ms) - LAB_VM_START_MS))
    race_observe ready
    # It asks by another protocol.
    [ "$racer" != nbd ] || READY_REQUESTS=null
    if [ "$pair" -lt "$ENDS" ]; then
        lab_wait_line "$QEMU_SECONDS" "$LAB_VM_DIR/serial.log" '^end ' || die "$racer does not come to its end"
        end=$(($(qemu_said end 2) * 1024)) peak=$(($(qemu_said end 3) * 1024))
    fi
    jq -cn --arg racer "$racer" --arg rate "$MIRROR_RATE" --argjson rtt "$MIRROR_RTT" \
        --argjson numbers "[$pair, $ms, $READY_WIRE, $READY_REQUESTS, $(($(qemu_said ready 2) * 1024)), $end, $peak]" '
        {racer: $racer, rate: $rate, rtt_ms: $rtt, pair: $numbers[0], ready_s: ($numbers[1] / 1000),
         wire_bytes: $numbers[2], requests: $numbers[3], ram_ready_bytes: $numbers[4],
         ram_end_bytes: $numbers[5], ram_peak_bytes: $numbers[6]}' >>"$TMP/results"
    note "$MIRROR_RATE $MIRROR_RTT ms, round $((pair + 1)): $racer $((ms / 1000)) s," \
        "$((READY_WIRE / 1000)) kB, $READY_REQUESTS requests"
    lab_vm_stop
}

# What curl needs on this machine is no floor for one that is emulated.
boot_pack_once() { :; }
