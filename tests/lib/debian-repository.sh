# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# A signed Debian repository of tiny packages, for dlfuse-mkroot with the real mmdebstrap: no other machine is asked for
# anything.
#
#   tiny_repository       makes it below $TMP/repo, signed by the key in $TMP/archive.gpg; $TMP/stranger.gpg is another one
#   tiny_conf             prints a configuration: app and a task, with their dependencies, as a squashfs
#   tiny_files DIR        prints the packages with files in the image in DIR
require mmdebstrap dpkg-deb gpg unsquashfs mksquashfs

TINY_REPOSITORY=$TMP/repo

# tiny_package NAME DEPENDS: with a file of its own name in /opt.
tiny_package() {
    local dir=$TMP/deb/$1
    mkdir -p "$dir/DEBIAN" "$dir/opt"
    echo "content of $1" >"$dir/opt/$1"
    printf '%s\n' "Package: $1" "Version: 1" "Architecture: all" "Maintainer: nobody <nobody@example.org>" \
        ${2:+"Depends: $2"} "Description: $1" >"$dir/DEBIAN/control"
    dpkg-deb --root-owner-group -b "$dir" "$TINY_REPOSITORY/pool/$1.deb" >/dev/null
    {
        cat "$dir/DEBIAN/control"
        echo "Filename: pool/$1.deb"
        echo "Size: $(stat -c %s "$TINY_REPOSITORY/pool/$1.deb")"
        echo "SHA256: $(sha256sum <"$TINY_REPOSITORY/pool/$1.deb" | cut -d ' ' -f 1)"
        echo
    } >>"$TINY_REPOSITORY/dists/tiny/$TINY_INDEX"
}

tiny_repository() {
    local architecture key dists=$TINY_REPOSITORY/dists/tiny
    architecture=$(dpkg --print-architecture)
    TINY_INDEX=main/binary-$architecture/Packages
    export GNUPGHOME=$TMP/gnupg
    mkdir -m 700 "$GNUPGHOME"
    mkdir -p "$dists/${TINY_INDEX%/*}" "$TINY_REPOSITORY/pool"
    on_exit gpgconf --kill all
    tiny_package app "editor-a | editor-b"
    tiny_package editor-a ""
    tiny_package editor-b ""
    tiny_package task-games game
    tiny_package game ""
    tiny_package more ""
    # As in an archive: Release names the index, InRelease is Release with a signature.
    {
        printf '%s\n' "Suite: tiny" "Codename: tiny" "Components: main" "Architectures: $architecture" \
            "Date: $(date -Ru)" "SHA256:"
        echo " $(sha256sum <"$dists/$TINY_INDEX" | cut -d ' ' -f 1) $(stat -c %s "$dists/$TINY_INDEX") $TINY_INDEX"
    } >"$dists/Release"
    for key in archive stranger; do
        gpg --quiet --batch --passphrase '' --quick-gen-key "$key@example.org" ed25519 sign never 2>/dev/null ||
            die "gpg makes no key"
        gpg --quiet --export "$key@example.org" >"$TMP/$key.gpg"
    done
    gpg --quiet --batch --local-user archive@example.org --clearsign --output "$dists/InRelease" "$dists/Release"
}

tiny_conf() {
    cat <<END
[system]
release = "tiny"
mirror = "deb copy://$TINY_REPOSITORY tiny main"
keyring = "archive.gpg"
variant = "extract"
base = false
packages = ["app", "@games"]
tarball = "tiny.tar"
[image]
format = "squashfs"
[kernel]
initramfs = false
END
}

tiny_files() { unsquashfs -l -d '' "$1/root.squashfs" | sed -n 's!^/opt/!!p' | sort | tr '\n' ' '; }
