# shellcheck shell=bash
# Ed25519 keys, and manifests that are signed by hand: a forger uses openssl, not dlfuse.
#
#   make_key NAME                  $TMP/NAME.pem, $TMP/NAME.pub
#   trust DIR NAME...              a directory with these public keys
#   key_id NAME                    as in signature lines
#   body FILE                      without its signatures
#   sign_by_hand FILE NAME [PREFIX]   adds a signature line (docs/FORMAT.md)
require openssl

make_key() {
    openssl genpkey -algorithm ed25519 -out "$TMP/$1.pem" || die "openssl makes no Ed25519 key"
    openssl pkey -in "$TMP/$1.pem" -pubout -out "$TMP/$1.pub"
}

trust() {
    local dir=$1 name
    shift
    mkdir -p "$dir"
    for name in "$@"; do
        cp "$TMP/$name.pub" "$dir/$name.pem"
    done
}

key_id() {
    openssl pkey -in "$TMP/$1.pem" -pubout -outform DER | tail -c 32 | sha256sum | head -c 16
}

body() {
    sed '/^signature /,$d' "$1"
}

sign_by_hand() {
    {
        printf '%s\n' "${3:-dlfuse-manifest-signature 1}"
        body "$1"
    } >"$TMP/signed"
    openssl pkeyutl -sign -rawin -inkey "$TMP/$2.pem" -in "$TMP/signed" -out "$TMP/signature" || die "openssl cannot sign"
    echo "signature $(key_id "$2") $(base64 -w 0 "$TMP/signature")" >>"$1"
}
