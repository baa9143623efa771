# shellcheck shell=bash disable=SC2004,SC2034 # arrays of nginx.sh; set here, used by who sources this
# What the cases of dlfuse-publish share.
#
#   publish ARGUMENT...           must succeed; what it says is in $TMP/said
#   store_version N [ARGUMENT...] makes version N of the image node in $TMP/store, with a boot pack; its bytes are $TMP/vN
#   right TEXT MIRROR [QUIET]     everything that is shown on the mirror is there, whole
#   serve_mirror NAME DIRECTORY   nginx as server-tools/conf/nginx-mirror.conf has it: MIRROR_URL[NAME]
#   start_conf NAME FILE          nginx with a server block of a file
#   entries DIRECTORY             what is in it, in one line

# shellcheck source=/dev/null
declare -F on_exit >/dev/null || . "$(dirname "${BASH_SOURCE[0]}")/../../lib/case.sh"
. "$LIB_DIR/images.sh"
. "$LIB_DIR/nginx.sh"
. "$LIB_DIR/node.sh"
. "$LIB_DIR/keys.sh"
require_programs_under_test
require rsync rclone nginx curl python3
PUBLISH=$SOURCE_DIR/server-tools/dlfuse-publish
PROFILE_TOOL=$SOURCE_DIR/tests/cases/chunker/profile-tool.py
export DLFUSE_BIN_DIR TMPDIR=$TMP/tmp RCLONE_CONFIG=$TMP/rclone.conf
unset SOURCE_DATE_EPOCH
mkdir "$TMPDIR"
touch "$RCLONE_CONFIG"
declare -A MIRROR_URL
# MiB that all versions of the image have.
SHARED=18

entries() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd ' '; }

publish() {
    timeout 120 "$PUBLISH" "$@" >"$TMP/said" 2>"$TMP/err" </dev/null ||
        die "dlfuse-publish $*: $(cat "$TMP/said" "$TMP/err")"
    [ ! -s "$TMP/err" ] || fail "dlfuse-publish $* is quiet: $(head -n 3 "$TMP/err")"
}

# Most of it is in every version. The boot pack is that of the first one's profile.
store_version() {
    { random_bytes 1 $((SHARED << 20)) && random_bytes "1$1" $((3 << 20)) && text_bytes "$1" $((3 << 20)); } >"$TMP/v$1"
    make_store "$TMP/store" node "$TMP/v$1" "${@:2}"
    if [ ! -e "$TMP/trace" ]; then
        # shellcheck disable=SC2046 # words
        "$PROFILE_TOOL" trace "$TMP/store" node $(seq 5 40) >"$TMP/trace"
        make_store "$TMP/store" node "$TMP/v$1" --profile "$TMP/trace"
    fi
}

# Of a release or group: its list, and each file as the list says.
release_right() {
    awk '$1 == "file" { print $4 "  " $2 } $1 == "image" { print $4 "  " $2 ".dlfuse" }' "$1/release" 2>/dev/null |
        (cd "$1" && sha256sum --check --quiet --strict) >/dev/null 2>&1
}

right() {
    local text=$1 mirror=$2 said dir wrong=''
    if compgen -G "$mirror/*.dlfuse" >/dev/null || [ -d "$mirror/manifest" ]; then
        said=$("$CHUNKER" verify --quiet --store "$mirror" 2>&1) || wrong=$(head -n 2 <<<"$said")
    fi
    # Without its list it is no release yet.
    for dir in "$mirror"/releases/*/release "$mirror"/groups/*; do
        [ -e "$dir" ] || [ -L "$dir" ] || continue
        dir=${dir%/release}
        release_right "$dir" || wrong="$wrong $dir is not whole"
    done
    if [ -n "$wrong" ]; then
        fail "$text: $wrong"
    elif [ -z "${3:-}" ]; then
        pass "$text: what is shown is there"
    fi
}

# FILE is a part of an http block. Sets NGINX_PID, NGINX_PORT, NGINX_LOG as start_nginx does.
start_conf() {
    local name=$1 file=$2 dir=$TMP/nginx-$1
    mkdir -p "$dir/tmp"
    NGINX_PORT[$name]=${NGINX_PORT[$name]:-$(lab_free_port)}
    NGINX_LOG[$name]=$dir/access.log
    : >"$dir/access.log"
    {
        nginx_head "$dir"
        # As Debian's nginx.conf has it, where that matters.
        cat <<CONF
    tcp_nopush on;
    gzip on;
    include $file;
}
CONF
    } >"$dir/nginx.conf"
    nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/error.log" >"$dir/start.log" 2>&1 &
    NGINX_PID[$name]=$!
    on_exit end_process "${NGINX_PID[$name]}"
    wait_until 10 nginx_up_or_gone "${NGINX_PORT[$name]}" "${NGINX_PID[$name]}" || true
    ! is_gone "${NGINX_PID[$name]}" || die "nginx refuses $file: $(cat "$dir/start.log" "$dir/error.log")"
}

serve_mirror() {
    NGINX_PORT[$1]=$(lab_free_port)
    sed -e "s|listen 80;|listen 127.0.0.1:${NGINX_PORT[$1]};|" -e "s|root /srv/www;|root $2;|" \
        "$SOURCE_DIR/server-tools/conf/nginx-mirror.conf" >"$TMP/$1.conf"
    start_conf "$1" "$TMP/$1.conf"
    MIRROR_URL[$1]=http://127.0.0.1:${NGINX_PORT[$1]}
}
