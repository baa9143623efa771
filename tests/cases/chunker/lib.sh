# shellcheck shell=bash
# What the chunker's cases share.
#
#   create STORE NAME IMAGE [ARGUMENT...]   quiet, must succeed; --json goes to $TMP/create.json
#   refuses TEXT STATUS PATTERN COMMAND...  exit status, and one line on stderr that matches
#   round_trip TEXT STORE NAME IMAGE        extract gives the image back
#   sound TEXT STORE [NAME]                 verify finds nothing
#   fingerprint STORE                       a digest of all names and bytes but the lock's
#   has_zstd                                the chunker was built with it

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/case.sh"
. "$LIB_DIR/images.sh"
[ -x "$CHUNKER" ] || die "$CHUNKER is not built"

create() {
    local store=$1 name=$2 image=$3
    shift 3
    "$CHUNKER" create --store "$store" --name "$name" --quiet --json "$@" "$image" \
        >"$TMP/create.json" 2>"$TMP/create.log" || die "create $name: $(tail -n 3 "$TMP/create.log")"
}

refuses() {
    local text=$1 status=$2 pattern=$3 got=0 lines
    shift 3
    timeout 60 "$@" >"$TMP/out" 2>"$TMP/err" || got=$?
    lines=$(grep -c '' "$TMP/err" || true)
    if [ "$got" -eq "$status" ] && [ "$lines" -eq 1 ] && grep -qE -- "$pattern" "$TMP/err"; then
        pass "$text: $(sed "s|$TMP|...|g" "$TMP/err")"
    else
        fail "$text: status $got (expected $status), $lines lines: $(head -n 3 "$TMP/err")"
    fi
}

round_trip() {
    local text=$1 store=$2 name=$3 image=$4
    rm -f "$TMP/extracted"
    if "$CHUNKER" extract --store "$store" "$name" "$TMP/extracted" 2>"$TMP/err" &&
        cmp "$TMP/extracted" "$image" >>"$TMP/err" 2>&1; then
        pass "$text: extract gives $(stat -Lc %s "$TMP/extracted") bytes back"
    else
        fail "$text: $(tail -n 2 "$TMP/err")"
    fi
}

sound() {
    local text=$1 store=$2
    shift 2
    if "$CHUNKER" verify --store "$store" --quiet "$@" >"$TMP/out" 2>&1; then
        pass "$text: verify finds nothing"
    else
        fail "$text: verify: $(head -n 3 "$TMP/out")"
    fi
}

fingerprint() {
    (cd "$1" && find . -type f ! -name .lock -print0 | sort -z | xargs -0 sha256sum | sha256sum)
}

has_zstd() {
    # A usage error either way: the codec's, or of what is missing behind it.
    [[ $("$CHUNKER" create --codec zstd 2>&1) != *'not in this build'* ]]
}
