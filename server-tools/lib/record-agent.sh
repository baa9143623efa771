# shellcheck shell=sh
# record-agent.sh quiet SECONDS | trace: runs in a machine that dlfuse-record boots in QEMU. Shell and coreutils only:
# other programs would add reads that no other boot makes.

MOUNT=/run/dlfuse/mnt
# The second serial port is the output.
PORT=/dev/ttyS1
# Some machines never stop reading.
MOST_SECONDS=60

chunks_present() {
    while read -r key value; do
        [ "$key" != '"chunks_present":' ] || echo "${value%,}"
    done <$MOUNT/status.json
}

# After the default target: waits until no new chunk was read for SECONDS.
wait_quiet() {
    present=
    still=0
    for _ in $(seq $MOST_SECONDS); do
        now=$(chunks_present)
        [ "$now" = "$present" ] && still=$((still + 1)) || still=0
        [ $still -lt "$1" ] || return 0
        present=$now
        sleep 1
    done
    echo "quiet no" >$PORT
}

case $1 in
quiet)
    wait_quiet "$2"
    echo ready >$MOUNT/control
    systemctl --no-block poweroff
    ;;
trace)
    # The next step: systemd becomes its own last program, which runs the programs in system-shutdown.
    cat /usr/lib/systemd/systemd-shutdown /lib/systemd/systemd-shutdown /usr/lib/systemd/system-shutdown/* \
        >/dev/null 2>&1
    cat $MOUNT/trace >$PORT
    ;;
esac
