# shellcheck shell=bash
# publish-verify.sh: checks a mirror over HTTP, as nodes see it. Sourced by dlfuse-publish, after publish-manifest.sh; it
# has die, say and $WORK. Each fault is one line on standard error.
#
#   verify_begin URL KEYS DEEP  URL of the mirror's top; KEYS: a directory, or nothing; DEEP 1: digests as well as lengths
#   verify_image NAME           NAME.dlfuse and the objects that it needs
#   verify_release DIRECTORY    releases/ID or groups/GROUP: its files, and the objects that its images need
#   verify_all                  all of the above that the mirror's history names
#   verify_objects              asks for all objects found to be needed; false when anything was wrong
#
# Needs curl 7.84. curl's own configuration file holds for it: header lines, certificates, proxies.

VERIFY_BASE=
VERIFY_SHOWN= # without a password
VERIFY_KEYS=
VERIFY_DEEP=0
VERIFY_WRONG=0
VERIFY_COUNT=0

verify_begin() {
    VERIFY_BASE=${1%/}/
    VERIFY_SHOWN=$(sed -E 's|^([a-z]+://)[^/]*@|\1|' <<<"$VERIFY_BASE")
    VERIFY_KEYS=$2
    VERIFY_DEEP=$3
    VERIFY_WRONG=0
    mkdir -p "$WORK/verify"
    : >"$WORK/needed"
}

verify_wrong() {
    VERIFY_WRONG=$((VERIFY_WRONG + 1))
    complain "$VERIFY_SHOWN$*"
}

# verify_get PATH FILE [CURL-OPTION...]: a server that does not answer ends the program.
verify_get() {
    local path=$1 file=$2 code
    shift 2
    code=$(curl --silent --show-error --location --connect-timeout 15 --speed-limit 1 --speed-time 30 "$@" \
        --output "$file" --write-out '%{http_code}' "$VERIFY_BASE$path" 2>"$WORK/said") ||
        die "$VERIFY_SHOWN$path: $(sed 's/^curl: //' "$WORK/said" | head -n 1)"
    case $code in
    200 | 206) ;;
    *) verify_wrong "$path: HTTP status $code" && return 1 ;;
    esac
}

digest_of() { sha256sum <"$1" | cut -c 1-64; }

# verify_manifest PATH NAME [SHA256]
verify_manifest() {
    local file=$WORK/verify/manifest head=$WORK/verify/head digest
    verify_get "$1" "$file" || return 0
    digest=$(digest_of "$file")
    if ! manifest_read "$file" "$2"; then
        verify_wrong "$1: $MANIFEST_WHY"
        return 0
    fi
    if [ -n "${3:-}" ] && [ "$digest" != "$3" ]; then
        verify_wrong "$1: serial $MANIFEST_SERIAL with another SHA-256 than the release says"
        return 0
    fi
    if [ -n "$VERIFY_KEYS" ] && ! manifest_signed "$file" "$VERIFY_KEYS"; then
        verify_wrong "$1: no key of $VERIFY_KEYS has signed it"
    fi
    verify_get "index/$MANIFEST_INDEX" "$head" --range "0-$((MANIFEST_HEAD_SIZE - 1))" || return 0
    if ! manifest_objects "$head" >"$WORK/verify/objects"; then
        verify_wrong "index/$MANIFEST_INDEX: its head is damaged"
        return 0
    fi
    # Objects are called by their digests.
    sed -E 's|^([a-z]+/)([0-9a-f]+) ([0-9]+)$|\1\2 \3 \2|' "$WORK/verify/objects" >>"$WORK/needed"
    echo "manifest/$digest $(stat -c %s "$file") $digest" >>"$WORK/needed"
}

verify_image() { verify_manifest "$1.dlfuse" "$1"; }

verify_release() {
    local file=$WORK/verify/release word a b c
    verify_get "$1/release" "$file" || return 0
    if ! release_read "$file" || { [[ $1 == releases/* ]] && [ "releases/$RELEASE_ID" != "$1" ]; }; then
        verify_wrong "$1/release: not the list of a release"
        return 0
    fi
    while read -r word a b c; do
        case $word in
        file) echo "$1/$a $b $c" >>"$WORK/needed" ;;
        image) verify_manifest "$1/$a.dlfuse" "$a" "$c" ;;
        esac
    done <"$file"
}

verify_all() {
    local file=$WORK/verify/history kind key
    verify_get history "$file" || die "$VERIFY_SHOWN: nothing says what is there; name an image or a --group"
    while read -r kind key; do
        if [ "$kind" = image ]; then verify_image "$key"; else verify_release "groups/$key"; fi
    done < <(awk '$2 == "image" || $2 == "group" { print $2, $3 }' "$file" | sort -u)
}

# One curl for all: each URL costs a request, and connections are kept.
verify_lengths() {
    awk -v base="$VERIFY_BASE" '{ printf "url = \"%s%s\"\noutput = \"/dev/null\"\n", base, $1 }' "$WORK/needed" >"$WORK/verify/asked"
    curl --silent --head --location --parallel --parallel-max 8 --connect-timeout 15 --speed-limit 1 --speed-time 30 \
        --write-out '%{urlnum} %{http_code} %header{content-length}\n' --config "$WORK/verify/asked" \
        >"$WORK/verify/answers" 2>/dev/null || true
    awk 'FILENAME == ARGV[1] { status[$1] = $2; length_of[$1] = $3; next }
        { n = FNR - 1 }
        status[n] == "" || status[n] == "000" { print $1 ": no answer"; next }
        status[n] != 200 { print $1 ": HTTP status " status[n]; next }
        length_of[n] != $2 { print $1 ": " (length_of[n] == "" ? "no length" : length_of[n] " bytes") ", " $2 " expected" }' \
        "$WORK/verify/answers" "$WORK/needed" >"$WORK/verify/wrong"
}

# verify_digest PATH SHA256: prints the fault, if any. A broken connection is no damage yet: it gets one retry.
verify_digest() {
    local got why=$WORK/verify/why.$BASHPID try
    for try in 1 2; do
        [ "$try" = 1 ] || sleep 1
        if got=$(curl --silent --show-error --fail --location --connect-timeout 15 --speed-limit 1 --speed-time 30 \
            "$VERIFY_BASE$1" 2>"$why" | sha256sum); then
            [ "${got%% *}" = "$2" ] || echo "$1: another SHA-256 than $2"
            return
        fi
    done
    echo "$1: $(head -n 1 "$why")"
}

# Of the objects that have the right length.
verify_digests() {
    export -f verify_digest
    export WORK VERIFY_BASE
    # shellcheck disable=SC2016 # for the other shell
    awk -F '[: ]' 'FILENAME == ARGV[1] { wrong[$1]; next } !($1 in wrong) { print $1, $3 }' "$WORK/verify/wrong" "$WORK/needed" |
        xargs -r -P 4 -n 2 bash -o pipefail -c 'verify_digest "$@"' _ >"$WORK/verify/changed"
    cat "$WORK/verify/changed" >>"$WORK/verify/wrong"
}

verify_objects() {
    local line
    sort -u -o "$WORK/needed" "$WORK/needed"
    VERIFY_COUNT=$(wc -l <"$WORK/needed")
    [ "$VERIFY_COUNT" -gt 0 ] || return 1
    say "asking $VERIFY_SHOWN for $VERIFY_COUNT files"
    verify_lengths
    if [ "$VERIFY_DEEP" = 1 ]; then
        say "reading $(awk '{ sum += $2 } END { printf "%.1f MB", sum / 1e6 }' "$WORK/needed")"
        verify_digests
    fi
    while read -r line; do
        verify_wrong "$line"
    done <"$WORK/verify/wrong"
    [ "$VERIFY_WRONG" = 0 ]
}
