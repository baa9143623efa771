# shellcheck shell=bash disable=SC2034
# Runs the node program and looks at it from outside.
#
#   mount_node DIR URL [OPTIONS]  in the foreground mode, as a child of the case; DIR is made.
#                                 False (and NODE_LOG[DIR] says why) when it ends before it serves.
#   unmount_node DIR              fusermount3 -u, and the process must then end with 0
#   status DIR FILTER             the output of jq FILTER on the status
#   ${NODE_PID[DIR]} ${NODE_LOG[DIR]}
#   read_at FILE OFFSET BYTES     to stdout, past the page cache where the offset allows it
#   attach_loop FILE              read-only loop device with direct I/O: LOOP_DEVICE
#   detach_loop DEVICE            at the end of the case at the latest
#   expect_error TEXT WORD COMMAND...   the command fails with one line on stderr that has WORD in it

declare -A NODE_PID NODE_LOG ATTACHED
NODE_COUNT=0
NODE_AS=()

# ThreadSanitizer of gcc 12 cannot work with the address layout of newer kernels.
NODE_RUN=()
if ldd "$DLFUSE" 2>/dev/null | grep libtsan >/dev/null; then
    NODE_RUN=(setarch -R)
fi

is_there() {
    ${NODE_AS[@]+"${NODE_AS[@]}"} test -e "$1"
}

is_serving() {
    is_there "$1/root.img" || is_gone "$2"
}

mount_node() {
    local dir=$1 url=$2 options=${3:-}
    local -a arguments=(mount -f)
    [ -z "$options" ] || arguments+=(-o "$options")
    mkdir -p "$dir"
    NODE_COUNT=$((NODE_COUNT + 1))
    NODE_LOG[$dir]=$TMP/node-$NODE_COUNT.log
    ${NODE_AS[@]+"${NODE_AS[@]}"} ${NODE_RUN[@]+"${NODE_RUN[@]}"} "$DLFUSE" "${arguments[@]}" \
        "$url" "$dir" >"${NODE_LOG[$dir]}" 2>&1 &
    NODE_PID[$dir]=$!
    on_exit end_node "$dir" "${NODE_PID[$dir]}"
    wait_until 60 is_serving "$dir" "${NODE_PID[$dir]}" || return 1
    is_there "$dir/root.img"
}

# mount_node_as DIR URL COMMAND...: COMMAND runs its arguments as another user.
mount_node_as() {
    local NODE_AS=("${@:3}")
    mount_node "$1" "$2"
}

# For cases that cannot go on without the mount.
must_mount() {
    mount_node "$@" || die "mount $* fails: $(tail -n 3 "${NODE_LOG[$1]}")"
}

is_mounted() {
    grep -qF " $1 " /proc/self/mounts
}

# The way out after a failure: no process or mount may stay behind.
end_node() {
    local dir=$1 pid=$2
    if is_mounted "$dir"; then
        fusermount3 -u -z "$dir" 2>/dev/null || umount -l "$dir" 2>/dev/null
    fi
    if ! is_gone "$pid"; then
        wait_until 3 is_gone "$pid" || kill -KILL "$pid" 2>/dev/null
    fi
    wait "$pid" 2>/dev/null || true
}

try_unmount() {
    fusermount3 -u "$1" 2>/dev/null
}

# Processes with a mount namespace in which DIR is still mounted. A namespace that was made while it
# was there keeps a copy, and FUSE ends with the last copy. mountinfo does not show mounts outside a
# process's root directory; then the daemon's threads, which still wait for requests, give the copy away.
holders() {
    local pid
    { grep -lF " $1 " /proc/[0-9]*/mountinfo 2>/dev/null || true; } | cut -d / -f 3 |
        while read -r pid; do
            echo "$pid $(cat "/proc/$pid/comm" 2>/dev/null)"
        done
}

unmount_node() {
    local dir=$1 pid=${NODE_PID[$1]} status=0 held
    # Another mount namespace that is just being made may have a copy of the mounts on it.
    wait_until 20 try_unmount "$dir" || {
        fail "fusermount3 -u $dir"
        return
    }
    if ! wait_until 15 is_gone "$pid"; then
        held=$(holders "$dir")
        if [ -z "$held" ] && grep -q fuse_dev_do_read "/proc/$pid/task"/*/wchan 2>/dev/null; then
            held="one that cannot be seen"
        fi
        if [ -n "$held" ]; then
            note "other mount namespaces hold $dir: ${held//$'\n'/, }"
            kill -TERM "$pid"
            wait_until 15 is_gone "$pid" || fail "dlfuse ends after SIGTERM"
        else
            fail "dlfuse ends after fusermount3 -u within 15 s"
            note "its threads wait in: $(awk 1 ORS=' ' "/proc/$pid/task"/*/wchan)"
            kill -KILL "$pid"
            return
        fi
    fi
    wait "$pid" || status=$?
    check_eq "exit status after fusermount3 -u" "$status" 0
}

status() {
    timeout 10 "$DLFUSE" status --json "$1" | jq -r "$2"
}

status_is() {
    [ "$(status "$1" "$2" 2>/dev/null)" = "$3" ]
}

wait_complete() {
    wait_until "${2:-60}" status_is "$1" .complete true
}

# RSS in KiB without the pages of the cache's memory file.
rss_kib() {
    awk '/^VmRSS:/ {rss = $2} /^RssShmem:/ {shmem = $2} END {print rss - shmem}' "/proc/$1/status"
}

# Bytes that the cache (a memfd, which may be open twice) really takes.
cache_bytes() {
    local fd
    for fd in "/proc/$1/fd"/*; do
        case $(readlink "$fd") in
        /memfd:*) stat -Lc '%i %b' "$fd" ;;
        esac
    done | sort -u | awk '{total += $2 * 512} END {printf "%d\n", total}'
}

read_at() {
    dd if="$1" bs=4096 iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none
}

attach_loop() {
    LOOP_DEVICE=$(losetup --find --show --read-only --direct-io=on "$1")
    ATTACHED[$LOOP_DEVICE]=yes
    on_exit detach_loop "$LOOP_DEVICE"
}

# Only once for each attach_loop: by then the device may be another test's.
detach_loop() {
    [ -n "${ATTACHED[$1]:-}" ] || return 0
    unset "ATTACHED[$1]"
    losetup --detach "$1" 2>/dev/null || true
}

# mount_loop DEVICE DIR TYPE
mount_loop() {
    mkdir -p "$2"
    case $3 in
    xfs) mount -t xfs -o ro,norecovery,nouuid "$1" "$2" ;;
    ext4) mount -t ext4 -o ro,noload "$1" "$2" ;;
    *) mount -t "$3" -o ro "$1" "$2" ;;
    esac
    on_exit umount_quietly "$2"
}

umount_quietly() {
    ! is_mounted "$1" || umount "$1" 2>/dev/null || umount -l "$1"
}

# identity TEXT FILE IMAGE [READS]: whole file, then random reads from 16 threads.
identity() {
    local text=$1 file=$2 image=$3 reads=${4:-10000} said
    if said=$(timeout 300 cmp "$file" "$image" 2>&1); then
        pass "$text: whole file is the image"
    else
        fail "$text: cmp: $said"
    fi
    random_reads "$text" "$file" "$image" "$reads"
}

random_reads() {
    local text=$1 file=$2 image=$3 reads=${4:-10000} said
    if said=$(timeout 600 "$TEST_BIN_DIR/random-reads" --threads 16 --reads "$reads" \
        "$file" "$image" 2>&1); then
        pass "$text: $said"
    else
        fail "$text: $said"
    fi
}

# Reads that must fail with EIO, within a bound: expect_eio TEXT FILE OFFSET SECONDS
expect_eio() {
    local begin said
    begin=$(now_ms)
    if said=$(timeout "$(($4 + 20))" dd if="$2" of=/dev/null bs=4096 count=1 iflag=skip_bytes \
        skip="$3" status=none 2>&1); then
        fail "$1: the read succeeded"
    elif [[ $said != *"Input/output error"* ]]; then
        fail "$1: expected EIO, got: $said"
    else
        check_num "$1: EIO after ms" "$(($(now_ms) - begin))" '<=' "$(($4 * 1000))"
    fi
}

# The command must fail with exactly one line on stderr, and the line must have WORD in it.
# EXPECT_STATUS: the exit status, default 1.
expect_error() {
    local text=$1 word=$2 status=0 lines
    shift 2
    timeout -k 5 "${EXPECT_SECONDS:-40}" "$@" >"$TMP/out" 2>"$TMP/err" </dev/null || status=$?
    lines=$(wc -l <"$TMP/err")
    if [ "$status" -ne "${EXPECT_STATUS:-1}" ]; then
        fail "$text: exit status $status, expected ${EXPECT_STATUS:-1}; stderr: $(head -n 3 "$TMP/err")"
    elif [ "$lines" -ne 1 ]; then
        fail "$text: $lines lines on stderr, expected 1: $(head -n 5 "$TMP/err")"
    elif ! grep -qF -- "$word" "$TMP/err"; then
        fail "$text: stderr does not name '$word': $(cat "$TMP/err")"
    else
        pass "$text: $(cat "$TMP/err")"
    fi
}
