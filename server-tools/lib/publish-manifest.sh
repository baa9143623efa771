# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# publish-manifest.sh: dlfuse-publish's reader of manifests and index heads, in the form of docs/FORMAT.md: it reads
# enough to know every object that an image needs. Sourced by dlfuse-publish. Writes only below $WORK.
#
#   manifest_read FILE [NAME]   sets MANIFEST_*; false, with MANIFEST_WHY, when it is no manifest (of that name)
#   manifest_objects FILE       "PATH SIZE" of each object that the manifest just read needs, its own copy not among them;
#                               FILE begins with the index head. False when that is not the head
#   manifest_signed FILE KEYS   has a key in the directory KEYS signed it?
#   keys_check KEYS             false, with MANIFEST_WHY, when the directory has no key or one that cannot be used

MANIFEST_WHY=
MANIFEST_NAME=
MANIFEST_SERIAL='' MANIFEST_CREATED=''
MANIFEST_INDEX=
MANIFEST_INDEX_SIZE=
MANIFEST_HEAD=
MANIFEST_HEAD_SIZE=
MANIFEST_BOOT=
MANIFEST_BOOT_SIZE=

# Digests and names become paths, so their form is checked; nodes refuse any other fault.
# shellcheck disable=SC2016 # awk's
READ_MANIFEST='
function is_digest(word) { return length(word) == 64 && word !~ /[^0-9a-f]/ }
function is_size(word) { return word ~ /^[0-9]+$/ && length(word) <= 15 }
NR == 1 && $0 != "dlfuse-manifest 1" { exit }
$1 == "signature" { exit }
$1 == "name" && $2 ~ /^[A-Za-z0-9_][A-Za-z0-9._-]*$/ && length($2) <= 128 { name = $2 }
$1 == "serial" && $2 ~ /^[1-9][0-9]*$/ { serial = $2 }
$1 == "created" { created = $2 }
$1 == "index" && is_digest($2) && is_size($3) { place = $2 " " $3 }
$1 == "index-head" && is_digest($2) && is_size($3) { head = $2 " " $3 }
$1 == "boot" && is_digest($2) && is_size($3) { boot = $2 " " $3 }
END {
    if (name == "" || serial == "" || created == "" || place == "" || head == "") exit 1
    print name, serial, created, place, head, (boot == "" ? "- 0" : boot)
}'

manifest_read() {
    local facts
    MANIFEST_WHY="not a dlfuse manifest of version 1"
    [ -f "$1" ] && [ "$(stat -c %s "$1")" -le 65536 ] || return 1
    facts=$(awk "$READ_MANIFEST" "$1") || return 1
    read -r MANIFEST_NAME MANIFEST_SERIAL MANIFEST_CREATED MANIFEST_INDEX MANIFEST_INDEX_SIZE MANIFEST_HEAD \
        MANIFEST_HEAD_SIZE MANIFEST_BOOT MANIFEST_BOOT_SIZE <<<"$facts"
    MANIFEST_WHY="it says that its name is $MANIFEST_NAME"
    [ -z "${2:-}" ] || [ "$2" = "$MANIFEST_NAME" ]
}

# head_number FILE OFFSET
head_number() { od -An -tu4 --endian=little -j "$2" -N 4 "$1" | tr -d ' '; }

# The pack table: 40 bytes for each pack, 32 of them its digest, then 4 with its size.
head_packs() {
    local pages packs at
    [ "$(head -c "$MANIFEST_HEAD_SIZE" "$1" | sha256sum | cut -c 1-64)" = "$MANIFEST_HEAD" ] || return 1
    pages=$(head_number "$1" 20)
    packs=$(head_number "$1" 56)
    [ $((64 + 40 * (pages + packs))) -eq "$MANIFEST_HEAD_SIZE" ] || return 1
    [ "$packs" -gt 0 ] || return 0
    at=$((64 + 40 * pages))
    paste -d ' ' \
        <(od -An -v -tx1 -w40 -j "$at" -N $((40 * packs)) "$1" | tr -d ' ' | cut -c 1-64 | sed 's|^|pack/|') \
        <(od -An -v -tu4 --endian=little -w40 -j "$at" -N $((40 * packs)) "$1" | awk '{ print $9 }')
}

manifest_objects() {
    head_packs "$1" || return 1
    echo "index/$MANIFEST_INDEX $MANIFEST_INDEX_SIZE"
    [ "$MANIFEST_BOOT" = - ] || echo "boot/$MANIFEST_BOOT $MANIFEST_BOOT_SIZE"
}

keys_check() {
    local key
    MANIFEST_WHY="$1 has no key; public keys are files *.pem there"
    for key in "$1"/*.pem; do
        [ -e "$key" ] || return 1
        MANIFEST_WHY="$key is not an Ed25519 public key"
        openssl pkey -pubin -in "$key" -noout -text 2>/dev/null | grep -qi ed25519 || return 1
    done
}

manifest_signed() {
    local key id
    { printf 'dlfuse-manifest-signature 1\n' && sed '/^signature /,$d' "$1"; } >"$WORK/signed"
    for key in "$2"/*.pem; do
        id=$(openssl pkey -pubin -in "$key" -pubout -outform DER | tail -c 32 | sha256sum | head -c 16)
        awk -v id="$id" '$1 == "signature" && $2 == id { print $3 }' "$1" | base64 -d >"$WORK/signature" 2>/dev/null || continue
        if openssl pkeyutl -verify -rawin -pubin -inkey "$key" -in "$WORK/signed" -sigfile "$WORK/signature" \
            >/dev/null 2>&1; then
            return 0
        fi
    done
    return 1
}
