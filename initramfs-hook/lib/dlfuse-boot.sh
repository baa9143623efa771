# shellcheck shell=sh
# dlfuse-boot.sh: from a network to a mounted image, by the best way that works. Sourced by dlfuse-lib.sh.
#
# One process, the supervisor, goes through these states until the image is mounted at DLFUSE_LOWER; then it ends. It
# runs beside the initramfs' main loop, which only looks for DLFUSE_ATTACHED, so a hang here does not stop that loop.
#
#   LAZY      the daemon runs, its file is attached and mounted
#     image mounted                                               -> done
#     no FUSE, the daemon ends, no loop device on its file         -> DOWNLOAD
#     every mirror's manifest, index or pack is missing or wrong
#       for DLFUSE_UNUSABLE_SECONDS, or there is no file system    -> FULL
#     a mirror does not answer                                    -> LAZY; with rd.dlfuse.full= after
#                                                                    DLFUSE_UNREACHABLE_SECONDS -> FULL
#   DOWNLOAD  "dlfuse download" of the same store into a tmpfs, attached and mounted
#     image mounted                                               -> done
#     anything else                                               -> FULL; the part downloaded is kept
#   FULL      each rd.dlfuse.full=, else NAME.img beside the manifest, by "dlfuse fetch" into a tmpfs
#     image mounted                                               -> done
#     anything else                                               -> PAUSE
#   PAUSE     5 s, 10 s, then a random time from 30 to 120 s       -> LAZY
#
# rd.dlfuse.fallback=0 takes DOWNLOAD and FULL out: LAZY waits for as long as the daemon does, and otherwise goes to
# PAUSE. The durations come from the daemon's report, DLFUSE_TROUBLE. It has "unreachable MESSAGE" or "unusable
# MESSAGE" for as long as that is so, and "here MESSAGE" when this machine is the reason.
#
# Trusted keys hold on every way: the daemon, download and fetch get the same options (dlfuse_access_options), and an
# image that they refuse is not attached. With keys a whole image needs signed sums beside it. With a serial or a
# digest, which only manifests have, no whole image is taken.
#
# Once the image is mounted there is no further fallback: the daemon keeps trying.

DLFUSE_TROUBLE="$DLFUSE_ROOT/trouble"
# Below DLFUSE_ROOT, so that its units' settings hold for it. A tmpfs of its own, which is as large as may be.
DLFUSE_RAM="$DLFUSE_ROOT/image"
DLFUSE_FILE=$DLFUSE_RAM/root.img
# One line: "download URL: WHY" or "full URL: WHY". Missing when the image came lazily.
DLFUSE_FALLBACK="$DLFUSE_STATE/fallback"
# The events, one line each; the last round that failed as a whole; the number of failed rounds.
DLFUSE_HISTORY="$DLFUSE_STATE/history"
DLFUSE_FAILED="$DLFUSE_STATE/failed"

# Six rounds through all mirrors at the daemon's pace: a publish that is under way is over by then.
DLFUSE_UNUSABLE_SECONDS=10
DLFUSE_UNREACHABLE_SECONDS=60
# A download that gains no byte for this long is given up for this round.
DLFUSE_IDLE_SECONDS=60
# Memory that no image may take, in addition to an eighth of the available memory.
DLFUSE_SPARE_KIB=65536

# dlfuse_note LEVEL TEXT: on the console and in the history.
dlfuse_note() {
    dlfuse_log "$1" "$2"
    printf '%s\n' "$2" >>"$DLFUSE_HISTORY"
}

dlfuse_uptime() {
    local now
    read -r now _ </proc/uptime
    echo "${now%%.*}"
}

dlfuse_may_fall_back() { [ "$(dlfuse_option fallback)" != 0 ]; }

# Sets trouble_kind and trouble_text; empty when there is no trouble. The daemon writes over the report in place, and fills
# the line up with spaces, which klibc's shell does not strip.
dlfuse_read_trouble() {
    trouble_kind='' trouble_text=''
    [ ! -s "$DLFUSE_TROUBLE" ] || read -r trouble_kind trouble_text <"$DLFUSE_TROUBLE" || :
    trouble_text=${trouble_text%"${trouble_text##*[! ]}"}
}

# The last line of a program's messages.
dlfuse_last_line() { sed -n 's/^dlfuse: //; $p' "$1"; }

# dlfuse_give_up: 0 when the daemon's troubles have lasted long enough; why then has the daemon's message. Keeps their
# start times in trouble_since and unusable_since, which the caller empties first.
dlfuse_give_up() {
    local now
    dlfuse_may_fall_back || return 1
    dlfuse_read_trouble
    now=$(dlfuse_uptime)
    [ -n "$trouble_kind" ] || trouble_since=''
    [ "$trouble_kind" = unusable ] || unusable_since=''
    [ -n "$trouble_kind" ] || return 1
    why=$trouble_text
    : "${trouble_since:=$now}"
    if [ "$trouble_kind" = unusable ]; then
        : "${unusable_since:=$now}"
        [ $((now - unusable_since)) -ge $DLFUSE_UNUSABLE_SECONDS ]
    else
        [ -n "$(dlfuse_options full)" ] && [ $((now - trouble_since)) -ge $DLFUSE_UNREACHABLE_SECONDS ]
    fi
}

# Ends a daemon without users, or with users that wait in vain: their reads then fail.
dlfuse_kill_daemon() {
    if dlfuse_has_systemd; then
        systemctl kill --signal=KILL "$DLFUSE_UNIT" 2>/dev/null
    elif [ -s "$DLFUSE_STATE/pid" ]; then
        kill -KILL "$(cat "$DLFUSE_STATE/pid")" 2>/dev/null
    fi
    while dlfuse_is_running; do sleep 0.1; done
    # The kill was on purpose: the unit must not show as failed.
    ! dlfuse_has_systemd || systemctl reset-failed "$DLFUSE_UNIT" 2>/dev/null
    while dlfuse_is_mounted "$DLFUSE_MOUNT"; do umount -l "$DLFUSE_MOUNT" || break; done
}

# Runs beside a mount(8) that may wait for ever: ends the daemon when the mount is hopeless.
dlfuse_watch_mount() {
    local why trouble_since='' unusable_since=''
    until dlfuse_give_up; do sleep 1; done
    [ ! -e "$DLFUSE_ATTACHED" ] || return 0
    printf '%s\n' "$why" >"$DLFUSE_STATE/hopeless"
    dlfuse_kill_daemon
}

dlfuse_attach_lazily() {
    local watcher result=0
    rm -f "$DLFUSE_STATE/hopeless"
    # Without the supervisor's lock: a sleep of the watcher may outlive both by a second.
    dlfuse_watch_mount 9>&- &
    watcher=$!
    dlfuse_attach_file "$DLFUSE_IMAGE" || result=1
    kill $watcher 2>/dev/null
    wait $watcher 2>/dev/null
    [ $result = 1 ] || return 0
    if [ -e "$DLFUSE_STATE/hopeless" ]; then
        read -r why <"$DLFUSE_STATE/hopeless"
    elif ! dlfuse_is_running; then
        why="the daemon ended while the image was mounted" next=download
    fi
    return 1
}

# dlfuse_lazy URL: 0 when the image is mounted. Else why has the failure, and next the way to try next.
dlfuse_lazy() {
    local trouble_since='' unusable_since='' ticks=0
    next=full
    dlfuse_knows_filesystem fuse || {
        why="this kernel has no FUSE (module fuse)" next=download
        return 1
    }
    rm -f "$DLFUSE_TROUBLE"
    dlfuse_start_daemon "$1" || {
        why="the daemon does not start" next=download
        return 1
    }
    until [ -e "$DLFUSE_IMAGE" ]; do
        sleep 0.1
        ticks=$((ticks + 1))
        [ $((ticks % 10)) = 0 ] || continue
        ! dlfuse_give_up || return 1
        dlfuse_is_running || {
            dlfuse_read_trouble
            why="the daemon ended${trouble_text:+: $trouble_text}" next=download
            return 1
        }
    done
    dlfuse_attach_lazily
}

# Makes DLFUSE_RAM as large as may be; why says so when there is no memory. Sets available_kib and room_kib.
dlfuse_make_room() {
    local key value spare
    while read -r key value _; do
        [ "$key" != MemAvailable: ] || available_kib=$value
    done <"$DLFUSE_MEMINFO"
    spare=$((available_kib / 8))
    [ $spare -ge $DLFUSE_SPARE_KIB ] || spare=$DLFUSE_SPARE_KIB
    room_kib=$((available_kib - spare))
    if [ $room_kib -le 0 ]; then
        why="$available_kib KiB of memory are available, no room for an image"
        return 1
    fi
    dlfuse_is_mounted "$DLFUSE_ROOT" || dlfuse_make_private_root || return 1
    dlfuse_is_mounted "$DLFUSE_RAM" && return 0
    mkdir -p "$DLFUSE_RAM"
    mount -t tmpfs -o "mode=0700,size=${room_kib}k" dlfuse-image "$DLFUSE_RAM" || {
        why="cannot mount a tmpfs of $room_kib KiB at $DLFUSE_RAM"
        return 1
    }
}

# dlfuse_remember WAY URL WHY: for the booted system, and for "dlfuse status" in place of a daemon's status.
dlfuse_remember() {
    local text
    printf '%s\n' "$1 $2: $3" >"$DLFUSE_FALLBACK"
    text=$(printf '%s\n' "$3" | sed 's/[\\"]/\\&/g')
    dlfuse_make_directories "$DLFUSE_MOUNT"
    printf '{\n  "state": "fallback",\n  "way": "%s",\n  "url": "%s",\n  "why": "%s"\n}\n' "$1" "$2" "$text" \
        >"$DLFUSE_MOUNT/status.json"
}

# dlfuse_report STATE URL: sends the report that a daemon would send to rd.dlfuse.report=. The answer does not matter.
dlfuse_report() {
    local report host name up boot options
    report=$(dlfuse_option report) || return 0
    read -r host </proc/sys/kernel/hostname
    host=$(printf '%s\n' "$host" | sed 's/[^A-Za-z0-9.-]/_/g')
    name=${2%%[?#]*}
    name=${name##*/}
    up=$(dlfuse_uptime)
    read -r boot </proc/sys/kernel/random/boot_id
    case $report in *'?'*) report="$report&" ;; *) report="$report?" ;; esac
    options=timeout=5
    dlfuse fetch -q -o "$options" \
        "${report}dlfuse=1&host=$host&image=${name%.*}&serial=0&state=$1&uptime=$up&boot=$boot" - >/dev/null 2>&1 || :
}

# dlfuse_use WAY URL: the file in DLFUSE_RAM becomes the root.
dlfuse_use() {
    dlfuse_remember "$1" "$2" "$first_why"
    if dlfuse_attach_file "$DLFUSE_FILE"; then
        # Beside the boot, without the supervisor's lock.
        dlfuse_report "$1" "$2" 9>&- &
        return 0
    fi
    rm -f "$DLFUSE_FALLBACK" "$DLFUSE_MOUNT/status.json" "$DLFUSE_FILE"
    return 1
}

# dlfuse_download URL: 0 when the image is mounted, from memory. A partial download is kept for another try.
dlfuse_download() {
    local options
    dlfuse_make_room || return 1
    dlfuse_note 3 "no lazy root, downloading all of $1: $why"
    options=$(dlfuse_store_options)
    dlfuse download -q -o "timeout=$DLFUSE_IDLE_SECONDS${options:+,$options}" "$1" "$DLFUSE_FILE" \
        2>"$DLFUSE_STATE/download.log" || {
        why="download failed: $(dlfuse_last_line "$DLFUSE_STATE/download.log") (MemAvailable: $available_kib KiB)"
        return 1
    }
    dlfuse_use download "$1"
}

# The unpacker for the file that a URL names; nothing for a plain image.
dlfuse_unpacker() {
    case ${1%%[?#]*} in
    *.zst) echo zstd ;;
    *.lz4) echo lz4 ;;
    *.xz) echo xz ;;
    *.gz) echo gzip ;;
    esac
}

# dlfuse_fetch_into URL FILE: FILE is complete, unpacked and sparse, or does not exist and why has the failure. The exit
# status of each program counts. That of fetch alone tells, and only at the end, whether the bytes are the signed ones,
# so FILE has no user before that. A plain image may have more zeros than there is memory; a packed one takes its size at least.
dlfuse_fetch_into() {
    local program options state="$DLFUSE_STATE" written=0 fetched unpacked
    program=$(dlfuse_unpacker "$1")
    options=$(dlfuse_access_options)
    options="timeout=$DLFUSE_IDLE_SECONDS${options:+,$options}"
    if [ -n "$program" ]; then
        command -v "$program" >/dev/null || {
            why="$1 needs the program $program, which this initramfs does not have; install it where that is made"
            return 1
        }
        options="$options,room=${room_kib}K"
    fi
    rm -f "$state/fetched" "$state/unpacked"
    {
        dlfuse fetch -q -o "$options" "$1" - 2>"$state/fetch.log"
        echo $? >"$state/fetched"
    } | {
        ${program:-cat} ${program:+-dc} 2>"$state/unpack.log"
        echo $? >"$state/unpacked"
    } | dd of="$2" bs=64k iflag=fullblock conv=sparse 2>"$state/write.log" || written=$?
    read -r fetched <"$state/fetched"
    read -r unpacked <"$state/unpacked"
    # The first failure: the other programs ended only because of it.
    why=$(dlfuse_last_line "$state/fetch.log")
    if [ "$written" != 0 ]; then
        why="$1: $(sed -n '1s/^dd: //p' "$state/write.log") (room for $room_kib KiB)"
    elif [ "$unpacked" != 0 ]; then
        case $why in
        '' | *': cannot write after '*) why="$1: $(sed -n 1p "$state/unpack.log")" ;;
        esac
    elif [ "$fetched" = 0 ]; then
        return 0
    fi
    rm -f "$2"
    return 1
}

# Other URLs of a whole image. A query that opens the manifest opens its neighbours.
dlfuse_full_urls() {
    local urls manifest="${1%%[?#]*}"
    urls=$(dlfuse_options full)
    printf '%s\n' "${urls:-${manifest%.dlfuse}.img${1#"$manifest"}}"
}

# dlfuse_begins URL: 0 if the server sends at least one byte of it.
dlfuse_begins() {
    local options
    options=$(dlfuse_access_options)
    options="timeout=$DLFUSE_IDLE_SECONDS${options:+,$options}"
    # Counted as a line: a shell drops zeros, and few initramfs have wc.
    [ -n "$(dlfuse fetch -q -o "$options" "$1" - 2>/dev/null | dd bs=1 count=1 2>/dev/null | sed -n '$=')" ]
}

# dlfuse_full URL-OF-MANIFEST: 0 when a whole image is mounted, from memory. A partial download stays for the next round
# to resume. It is removed when a server sends a whole image, which needs the room.
dlfuse_full() {
    local url name
    for name in rd.dlfuse.serial rd.dlfuse.digest; do
        dlfuse_arg $name >/dev/null || continue
        why="no whole image is taken, because nothing shows which version it is and $name= wants one: $why"
        return 1
    done
    dlfuse_make_room || return 1
    for url in $(dlfuse_full_urls "$1"); do
        dlfuse_note 3 "no root from the store, fetching the whole image $url: $why"
        if [ -e "$DLFUSE_FILE.part" ] && dlfuse_begins "$url"; then
            rm -f "$DLFUSE_FILE.part"
            dlfuse_make_room || return 1
        fi
        if dlfuse_fetch_into "$url" "$DLFUSE_FILE" && dlfuse_use full "$url"; then
            return 0
        fi
        dlfuse_note 3 "$why"
    done
    return 1
}

# A number from 0 to $1 - 1.
dlfuse_random() {
    local uuid
    read -r uuid </proc/sys/kernel/random/uuid
    echo $((0x${uuid%%-*} % $1))
}

# dlfuse_pause ROUND
dlfuse_pause() {
    local seconds=5
    [ "$1" -lt 2 ] || seconds=10
    [ "$1" -lt 3 ] || seconds=$((30 + $(dlfuse_random 91)))
    printf '%s\n' "$why" >"$DLFUSE_FAILED"
    dlfuse_note 3 "nothing to boot from, try $1: $why; next try in $seconds s"
    sleep $seconds
}

# One round; first_why is the reason why it left the lazy way.
dlfuse_try_all() {
    local first_why next
    # Again: the driver of a stopped clock may have been loaded since, and have set the time back.
    dlfuse_set_clock
    ! dlfuse_lazy "$1" || return 0
    dlfuse_kill_daemon
    first_why=$why
    dlfuse_may_fall_back || return 1
    if [ "$next" = download ]; then
        ! dlfuse_download "$1" || return 0
        dlfuse_note 3 "$why"
    fi
    dlfuse_full "$1"
}

dlfuse_supervise() {
    local why='' round=1
    until dlfuse_try_all "$1"; do
        dlfuse_pause $round
        round=$((round + 1))
    done
    if [ -e "$DLFUSE_FALLBACK" ]; then
        read -r why <"$DLFUSE_FALLBACK"
        dlfuse_log 4 "booting from memory, $why"
    fi
}

# dlfuse_start URL: starts the supervisor, unless it runs already; it runs until the image is mounted.
dlfuse_start() {
    dlfuse_make_directories "$DLFUSE_STATE"
    (
        flock -n 9 || exit 0
        [ ! -e "$DLFUSE_ATTACHED" ] || exit 0
        # The supervisor holds the lock for as long as it lives.
        dlfuse_supervise "$1" </dev/null >/dev/null 2>&1 &
    ) 9>"$DLFUSE_STATE/lock"
}

# dlfuse_await SECONDS: waits that long at most for the end of the supervisor, and thus for the mounted image; 1: it still runs.
dlfuse_await() { (flock -w "$1" 9) 9>>"$DLFUSE_STATE/lock"; }

# dlfuse_wait URL: called about once a second while there is no root. A machine without a root has nothing better to do than
# to keep trying, until rd.dlfuse.timeout= (in seconds; 0: for ever). With rd.shell or rd.dlfuse.debug the administrator
# gets a shell, once, when everything has failed.
dlfuse_wait() {
    local url="$1" timeout now started said
    now=$(dlfuse_uptime)
    dlfuse_make_directories "$DLFUSE_STATE"
    [ -s "$DLFUSE_STATE/wait" ] || echo "$now $now" >"$DLFUSE_STATE/wait"
    read -r started said <"$DLFUSE_STATE/wait"
    if [ $((now - said)) -ge 10 ]; then
        dlfuse_log 4 "still waiting for $url after $((now - started)) s"
        echo "$started $now" >"$DLFUSE_STATE/wait"
    fi
    timeout=$(dlfuse_option timeout) || timeout=0
    if [ "${timeout:-0}" != 0 ] && [ $((now - started)) -ge "$timeout" ]; then
        dlfuse_shell "dlfuse: no image from $url within $timeout s (rd.dlfuse.timeout)"
        # After the shell the timeout starts again.
        rm -f "$DLFUSE_STATE/wait"
    elif [ -e "$DLFUSE_FAILED" ] && [ ! -e "$DLFUSE_STATE/shell" ] &&
        { dlfuse_flag rd.shell || dlfuse_debugs; }; then
        : >"$DLFUSE_STATE/shell"
        dlfuse_shell "dlfuse: nothing to boot from: $(cat "$DLFUSE_FAILED")"
    fi
}

# The diagnosis for an administrator at the console.
dlfuse_diagnosis() {
    printf '%s\n' "dlfuse: no root from $1"
    [ ! -s "$DLFUSE_HISTORY" ] || sed 's/^/  /' "$DLFUSE_HISTORY"
    [ ! -s "$DLFUSE_TROUBLE" ] || sed 's/^/  now: /' "$DLFUSE_TROUBLE"
    echo "  trying goes on; the boot continues when the image is mounted and this shell is left"
}
