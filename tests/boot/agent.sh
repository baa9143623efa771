#!/bin/sh
# Runs in the booted node, as root, with the test's own commands after it. Reports on the second serial port.
exec >/dev/ttyS1 2>&1

MOUNT=/run/dlfuse/mnt

report() { printf '%s %s\n' "$1" "$2"; }

# Processes of dlfuse, under whatever name; the kernel's threads have no command line.
dlfuse_processes() {
    ps axo pid=,comm=,args= | awk '$2 == "dlfuse" || $3 ~ /^@/' | wc -l
}

fuse_mounts() { grep -c ' fuse\.' /proc/mounts; }

# hash_files KEY: every file of the image against the build tree's list, read through the loop device.
hash_files() {
    mkdir -p /run/lab/image
    sync
    echo 3 >/proc/sys/vm/drop_caches
    if ! mount -o ro "$(cat /run/dlfuse-boot/attached)" /run/lab/image; then
        report "$1" "cannot mount the image"
        return
    fi
    split -n l/2 /run/lab/root.sums /run/lab/part.
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

report uptime "$(cut -d ' ' -f 1 /proc/uptime)"
report root "$(awk '$2 == "/" { type = $3 } END { print type }' /proc/mounts)"
report failed-units "$(systemctl --failed --no-legend --plain | awk '{ printf "%s,", $1 }')"
