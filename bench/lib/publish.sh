# shellcheck shell=bash disable=SC2034
# What the mirror of boot-race and replay serves: the image, its LZ4 file and squashfs, and a store with
# and without a profile. It lies in a tmpfs: the server's disk is not what is measured. Sourced after
# lab.sh and debian.sh.
#
#   publish_race           for all of CHOSEN
#   publish_profile        only the store with and without a profile; TRACE is recorded if it is empty
#   write_facts            facts.json: sizes, versions, the machine
#
# Sets BOOT_PACK (path in the store) and BOOT_PACK_BYTES.

WWW=
BOOT_PACK=
BOOT_PACK_BYTES=

make_www() {
    [ -z "$WWW" ] || return 0
    WWW=$TMP/www
    mkdir "$WWW"
    mount -t tmpfs -o size=100%,mode=755 tmpfs "$WWW"
    on_exit umount_quietly "$WWW"
    make_mirror "$WWW"
}

is_chosen() {
    [[ " ${CHOSEN[*]} " == *" $1 "* ]]
}

# An image's squashfs takes a minute: kept for the next run.
race_squashfs() {
    local dir=$DLFUSE_CACHE/bench mounted=$TMP/squash-source key
    require mksquashfs
    key=$(stat -c '%s %Y' "$IMAGE" | cat - <(head -c 4194304 "$IMAGE") | sha256sum | head -c 16)
    mkdir -p "$dir" "$mounted"
    SQUASHFS=$dir/$key.squashfs
    [ -e "$SQUASHFS" ] && return
    note "making a squashfs (zstd) of the image"
    mount -o loop,ro,noload "$IMAGE" "$mounted"
    mksquashfs "$mounted" "$SQUASHFS.new" -comp zstd -quiet -no-progress -noappend >/dev/null ||
        die "mksquashfs fails"
    umount "$mounted"
    mv "$SQUASHFS.new" "$SQUASHFS"
}

create() {
    # shellcheck disable=SC2086 # CREATE_ARGS is a list
    "$CHUNKER" create --quiet --store "$WWW/store" ${CREATE_ARGS:-} "$@" >"$TMP/create.log" 2>&1 ||
        die "create $* fails: $(tail -n 2 "$TMP/create.log")"
}

# One boot, recorded and published with its profile by the tool that users have.
record_boot() {
    # shellcheck disable=SC2086 # CREATE_ARGS is a list
    DLFUSE_BIN_DIR=$DLFUSE_BIN_DIR "$SOURCE_DIR/server-tools/dlfuse-record" --nspawn --store "$WWW/store" \
        --name boot --keep-traces "$TMP/traces" "$IMAGE" -- ${CREATE_ARGS:-} >"$TMP/record.log" 2>&1 ||
        die "dlfuse-record fails: $(tail -n 3 "$TMP/record.log")"
    TRACE=$TMP/traces/boot-nspawn-1.trace
}

publish_profile() {
    make_www
    [ -e "$WWW/store/plain.dlfuse" ] || create --name plain "$IMAGE"
    if [ -n "$TRACE" ]; then
        create --name boot --profile "$TRACE" "$IMAGE"
    else
        note "recording a boot"
        record_boot
    fi
    BOOT_PACK=boot/$(awk '$1 == "boot" {print $2}' "$WWW/store/boot.dlfuse")
    [ -f "$WWW/store/$BOOT_PACK" ] || die "the manifest names no boot pack that is there"
    BOOT_PACK_BYTES=$(stat -c %s "$WWW/store/$BOOT_PACK")
}

size_of() {
    if [ -e "$1" ]; then stat -c %s "$1"; else echo null; fi
}

write_facts() {
    jq -n --argjson image "$(size_of "$IMAGE")" --argjson lz4 "$(size_of "$WWW/root.img.lz4")" \
        --argjson squashfs "$(size_of "$WWW/root.squashfs")" --argjson pack "${BOOT_PACK_BYTES:-null}" \
        --arg mode "${MODE:-native}" --argjson memory "$(awk '/^MemTotal/ {printf "%.0f", $2 * 1024}' /proc/meminfo)" \
        --arg dlfuse "$("$DLFUSE" --version)" --arg cpus "$(nproc) x $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" \
        --arg kernel "$(uname -r)" --arg nbdkit "$(nbdkit --version 2>/dev/null || true)" \
        --arg nbdfuse "$(nbdfuse --version 2>/dev/null || true)" --arg lz4v "$(lz4 --version 2>/dev/null | grep -o 'v[0-9.]*' || true)" \
        --arg load "$(cut -d ' ' -f 1-3 /proc/loadavg)" '
        {mode: $mode, image_bytes: $image, lz4_bytes: $lz4, squashfs_bytes: $squashfs, boot_pack_bytes: $pack,
         dlfuse: $dlfuse, memory_bytes: $memory, cpus: $cpus, kernel: $kernel, nbdkit: $nbdkit, nbdfuse: $nbdfuse, lz4: $lz4v, load_at_start: $load}' \
        >"$TMP/facts.json"
}

publish_race() {
    make_www
    if is_chosen dlfuse || is_chosen dlfuse-profile; then
        create --name plain "$IMAGE"
    fi
    ! is_chosen dlfuse-profile || publish_profile
    if is_chosen full-squashfs || is_chosen dlfuse-squashfs; then
        race_squashfs
        cp "$SQUASHFS" "$WWW/root.squashfs"
    fi
    ! is_chosen dlfuse-squashfs || create --name squashfs "$SQUASHFS"
    if is_chosen full-ext4 || is_chosen nbdfuse; then
        cp "$IMAGE" "$WWW/root.img"
    fi
    ! is_chosen full-lz4 || lz4 -q -f "$IMAGE" "$WWW/root.img.lz4"
    write_facts
}
