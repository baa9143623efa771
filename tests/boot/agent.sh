#!/bin/sh
# Runs in the booted node, as root, with the test's own commands after it. Reports on the second serial port.
exec >/dev/ttyS1 2>&1

MOUNT=/run/dlfuse/mnt

report() { printf '%s %s\n' "$1" "$2"; }

# Processes of dlfuse, under any name; the kernel's threads have no command line.
dlfuse_processes() {
    ps axo pid=,comm=,args= | awk '$2 == "dlfuse" || $3 ~ /^@/' | wc -l
}

fuse_mounts() { grep -c ' fuse\.' /proc/mounts; }

# hash_files KEY [STEP]: checks every file of the image, or one in STEP of them, against the build tree's list, read through
# the loop device. A guest needs half a minute of two CPUs for all.
hash_files() {
    mkdir -p /run/lab/image
    sync
    echo 3 >/proc/sys/vm/drop_caches
    if ! mount -o ro "$(cat /run/dlfuse-boot/attached)" /run/lab/image; then
        report "$1" "cannot mount the image"
        return
    fi
    awk -v step="${2:-1}" 'NR % step == 0' /run/lab/root.sums >/run/lab/chosen.sums
    split -n l/2 /run/lab/chosen.sums /run/lab/part.
    (cd /run/lab/image && sha256sum --check --quiet /run/lab/part.aa >/run/lab/bad.aa 2>&1) &
    (cd /run/lab/image && sha256sum --check --quiet /run/lab/part.ab >/run/lab/bad.ab 2>&1)
    wait $!
    head -n 5 /run/lab/bad.aa /run/lab/bad.ab
    report "$1-files" "$(find /run/lab/image -xdev -type f | wc -l)"
    report "$1-bad" "$(cat /run/lab/bad.aa /run/lab/bad.ab | wc -l)"
    umount /run/lab/image
}

# wait_independent SECONDS: until neither a process nor a mount of dlfuse is left.
wait_independent() {
    _left=$1
    while [ "$(dlfuse_processes)" != 0 ] || [ "$(fuse_mounts)" != 0 ]; do
        _left=$((_left - 1))
        if [ "$_left" -le 0 ]; then
            report independent no
            ps axo pid,stat,args | awk "/dlfuse/"
            grep dlfuse /proc/mounts
            cat $MOUNT/status.json
            return 1
        fi
        sleep 1
    done
    report independent yes
}

# status_of KEY: as of the last look of watch_trace.
status_of() { sed -n "s/.*\"$1\": \(.*\),/\1/p" /run/lab/status.json; }

# watch_trace SECONDS: keeps status and trace of the node in /run/lab until the boot is over and the trace has a part of the
# fill. After the hand-over both are gone.
watch_trace() {
    for _ in $(seq "$1"); do
        # In this order: the status then covers everything in the trace.
        cp $MOUNT/trace /run/lab/trace.new && mv /run/lab/trace.new /run/lab/trace
        cp $MOUNT/status.json /run/lab/status.new && mv /run/lab/status.new /run/lab/status.json
        ! grep -q '^ready' /run/lab/trace || ! grep -q '^fill' /run/lab/trace || return 0
        [ -e $MOUNT/trace ] || break
        sleep 1
    done
    report trace "has no fill and ready"
}

# fills before|after: lines of fill in the trace on this side of ready.
fills() {
    awk -v side="$1" '$1 == "ready" { ready = 1 } $1 == "fill" && (side == "after") == ready { n++ }
        END { print n + 0 }' /run/lab/trace
}

# The longest time until ready without a first read of a chunk, in whole seconds.
longest_quiet() {
    awk '$1 == "touch" || $1 == "ready" { if (last && $2 - last > most) most = $2 - last; last = $2 }
        $1 == "ready" { exit } END { print int(most / 1000000) }' /run/lab/trace
}

# chunks_by CLASS: the number of chunks read until ready that came in this way.
chunks_by() {
    awk -v class="$1" '$1 == "fetch" && $6 == class { came[$3] } $1 == "touch" && !ready { read[$3] }
        $1 == "ready" { ready = 1 } END { for (o in read) n += o in came; print n + 0 }' /run/lab/trace
}

report machine-id "$(cat /etc/machine-id)"
report uptime "$(cut -d ' ' -f 1 /proc/uptime)"
report root "$(awk '$2 == "/" { type = $3 } END { print type }' /proc/mounts)"
report failed-units "$(systemctl --failed --no-legend --plain | awk '{ printf "%s,", $1 }')"
