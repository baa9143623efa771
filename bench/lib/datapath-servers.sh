# shellcheck shell=bash disable=SC2034
# The ways to have a file on a server as a file here, for bench/datapath: one function each. Sourced
# after boot.sh, lab.sh and publish.sh.
#
#   SERVERS                     their names, in the order of the tables; null and the local files have no network
#   publish_servers             the image as each of them wants it, in WWW
#   serve NAME [OPTIONS]        SERVED is then the file; false when it does not come up: SERVED_WHY.
#                               OPTIONS are those of dlfuse and of no interest to the others
#   serve_loop NAME [OPTIONS]   SERVED is then the file "data" on ext4, on a loop device on that
#   serve_end                   all of it is gone
#   serve_keep NAME             it stays when serve_forget makes none the current one; serve_again NAME makes it that again
#
# All have the settings that they come with; what had to be chosen is said here.

SERVERS=(dlfuse null nbdfuse s3backer httpdirfs httpdirfs-cache httpfs2)
LOCALS=(local local-ram)

# s3backer has one object for each block. Its own default of 4 KiB would make 65536 files of 256 MiB.
S3_BLOCK=65536

SERVED=
SERVED_WHY=
SERVE_DIR=
SERVE_PID=
SERVE_LOOP=
SERVE_MOUNT=
declare -A KEPT

# A half of each page compresses well, the other one not at all. ext4 without a journal and with one file:
# nearly all of the image is data.
make_datapath_image() {
    local mib=$1 tree=$TMP/tree
    mkdir "$tree"
    python3 - "$((mib - 8))" >"$tree/data" <<'END'
import random, sys
source = random.Random(1)
for page in range(int(sys.argv[1]) * 256):
    text = b"".join(b"%d " % (page * 300 + 7 * i) for i in range(300))
    sys.stdout.buffer.write(source.randbytes(2048) + text[:2048])
END
    truncate -s "${mib}M" "$IMAGE"
    mkfs.ext4 -q -F -O ^has_journal -m 0 -N 64 -d "$tree" "$IMAGE" || die "mkfs.ext4 fails"
    rm -r "$tree"
    sync "$IMAGE"
}

publish_servers() {
    # httpdirfs and httpfs2 believe in ranges only where a 206 says so too, which nginx leaves out.
    NGINX_SERVER="add_header Accept-Ranges bytes;"
    make_www
    create --name plain "$IMAGE"
    cp "$IMAGE" "$WWW/root.img"
    mkdir "$WWW/bucket"
    split --bytes="$S3_BLOCK" --numeric-suffixes=0 --suffix-length=8 "$IMAGE" "$WWW/bucket/d"
    local file
    for file in "$WWW"/bucket/d*; do
        printf '%s\0%s\0' "$file" "$WWW/bucket/$(printf %08x "$((10#${file##*/d}))")"
    done | xargs -0 -n 2 mv
}

server_installed() {
    local program=$1
    case $1 in
    dlfuse | null | local | local-ram) return 0 ;;
    httpdirfs-cache) program=httpdirfs ;;
    nbdfuse) command -v nbdkit >/dev/null || program=nbdkit ;;
    esac
    SERVED_WHY="$program is not installed"
    command -v "$program" >/dev/null
}

start_server() {
    local log=$TMP/server.log
    case $1 in
    dlfuse) "$DLFUSE" mount -f ${2:+-o "$2"} "$MIRROR_URL/store/plain.dlfuse" "$SERVE_DIR" ;;
    null) "$TEST_BIN_DIR/null-fuse" "$IMAGE" "$SERVE_DIR" ;;
    nbdfuse) nbdfuse -r "$SERVE_DIR/root.img" [ nbdkit --exit-with-parent curl "url=$MIRROR_URL/root.img" ] ;;
    s3backer)
        s3backer -f --quiet --readOnly "--baseURL=$MIRROR_URL/" "--blockSize=$S3_BLOCK" \
            "--size=$(stat -c %s "$IMAGE")" --filename=root.img bucket "$SERVE_DIR"
        ;;
    httpdirfs) httpdirfs -f --single-file-mode "$MIRROR_URL/root.img" "$SERVE_DIR" ;;
    httpdirfs-cache)
        httpdirfs -f --cache --cache-location "$SERVE_DIR.cache" --single-file-mode "$MIRROR_URL/root.img" "$SERVE_DIR"
        ;;
    httpfs2) httpfs2 -f -c /dev/null "$MIRROR_URL/root.img" "$SERVE_DIR" ;;
    esac >"$log" 2>&1 &
    SERVE_PID=$!
}

file_or_gone() {
    [ -e "$1" ] || is_gone "$2"
}

serve() {
    SERVE_DIR=''
    SERVE_PID=''
    case $1 in
    local) SERVED=$IMAGE && return ;;
    local-ram) SERVED=$WWW/root.img && return ;;
    esac
    SERVE_DIR=$TMP/served-$RANDOM$RANDOM
    SERVED=$SERVE_DIR/root.img
    mkdir "$SERVE_DIR" "$SERVE_DIR.cache"
    start_server "$@"
    race_wait 20 file_or_gone "$SERVED" "$SERVE_PID" || true
    [ -e "$SERVED" ] && return
    SERVED_WHY="$1 does not serve: $(grep -v '^$' "$TMP/server.log" | tail -n 1 | cut -c 1-80)"
    serve_end
    return 1
}

# A tmpfs file has no direct I/O that would be worth it: its pages are the page cache.
serve_loop() {
    local direct=on dir=$TMP/loop-mount-$1
    serve "$@" || return 1
    [ "$1" != local-ram ] || direct=off
    if ! SERVE_LOOP=$(losetup --find --show --read-only "--direct-io=$direct" "$SERVED" 2>"$TMP/server.log"); then
        SERVE_LOOP=
        SERVED_WHY="$1: losetup: $(tail -n 1 "$TMP/server.log")"
        serve_end
        return 1
    fi
    echo "$READ_AHEAD_KB" >"/sys/block/${SERVE_LOOP##*/}/queue/read_ahead_kb"
    mkdir -p "$dir"
    if ! mount -t ext4 -o ro "$SERVE_LOOP" "$dir" 2>"$TMP/server.log"; then
        SERVED_WHY="$1: mount: $(tail -n 1 "$TMP/server.log")"
        serve_end
        return 1
    fi
    SERVE_MOUNT=$dir
    SERVED=$dir/data
}

serve_keep() {
    KEPT[$1]="$SERVED ${SERVE_DIR:--} ${SERVE_PID:--} ${SERVE_LOOP:--} ${SERVE_MOUNT:--}"
}

serve_forget() {
    SERVED='' SERVE_DIR='' SERVE_PID='' SERVE_LOOP='' SERVE_MOUNT=''
}

# What a server does not have is "-" in there, so that nothing moves up.
serve_again() {
    local word
    local -a words=()
    read -ra words <<<"${KEPT[$1]}"
    for word in 0 1 2 3 4; do
        [ "${words[word]}" != - ] || words[word]=
    done
    SERVED=${words[0]} SERVE_DIR=${words[1]} SERVE_PID=${words[2]} SERVE_LOOP=${words[3]} SERVE_MOUNT=${words[4]}
}

# All that were kept, and the current one.
serve_end_all() {
    local name
    serve_end
    for name in "${!KEPT[@]}"; do
        serve_again "$name"
        serve_end
    done
    KEPT=()
}

serve_end() {
    [ -z "$SERVE_MOUNT" ] || umount_surely "$SERVE_MOUNT"
    SERVE_MOUNT=
    [ -z "$SERVE_LOOP" ] || losetup --detach "$SERVE_LOOP" 2>/dev/null || true
    SERVE_LOOP=
    [ -n "$SERVE_PID" ] || return 0
    end_node "$SERVE_DIR" "$SERVE_PID"
    SERVE_PID=
    rmdir "$SERVE_DIR"
    rm -rf --one-file-system "$SERVE_DIR.cache"
}
