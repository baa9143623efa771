# shellcheck shell=bash
# Makes images; their files have the same bytes every time (ext4 and xfs add the time of the day).
#
#   random_bytes SEED BYTES      incompressible, to stdout
#   text_bytes SEED BYTES        compressible, to stdout
#   make_tree DIR                about 45 MB of files of many kinds; DIR.sha256 lists their digests
#   make_image KIND TREE IMAGE   KIND: ext4 xfs squashfs-lz4 squashfs-zstd squashfs-xz erofs erofs-lz4
#   make_store STORE NAME IMAGE [ARGUMENT...]   dlfuse-chunker create, quiet
#   flip FILE OFFSET             one bit of it
#   check_tree TEXT DIR SUMS     every file in DIR has the digest that SUMS gives

export SOURCE_DATE_EPOCH=1700000000
IMAGE_UUID=5d6f2a10-0000-4000-8000-000000000001

random_bytes() {
    # head ends the pipe early, and openssl complains about that.
    { openssl enc -aes-128-ctr -nosalt -K "$(printf '%032x' "$1")" -iv 00 </dev/zero 2>/dev/null || true; } |
        head -c "$2"
}

text_bytes() {
    { seq "$((1000000 * ($1 + 1)))" 7 9999999999 2>/dev/null || true; } | head -c "$2"
}

# Each line "SEED BYTES FILE" is a file of text_bytes: one process, for there are hundreds of small ones.
text_files() {
    awk '{
        file = substr($0, length($1 " " $2 " ") + 1)
        at = 1000000 * ($1 + 1)
        for (left = $2; left > 0; left -= length(line)) {
            line = substr(at "\n", 1, left)
            at += 7
            printf "%s", line >file
        }
        close(file)
    }'
}

flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf '%b' "\\x$(printf %02x $((byte ^ 4)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

make_tree() {
    local dir=$1 i
    require openssl
    mkdir -p "$dir/small" "$dir/text" "$dir/random" "$dir/deep/a/b/c/d/e/f/g/h" "$dir/empty-dir"
    for ((i = 0; i < 200; i++)); do
        echo "$i $((10 + i * i % 3000)) $dir/small/$i"
    done | text_files
    for ((i = 0; i < 40; i++)); do
        text_bytes "$i" "$((1000 + i * 7919 * 3))" >"$dir/text/$i.txt"
    done
    for ((i = 1; i <= 12; i++)); do
        random_bytes "$i" "$((4096 * i * i + i * 100000))" >"$dir/random/$i.bin"
    done
    random_bytes 99 $((12 << 20)) >"$dir/random/large.bin"
    cp "$dir/random/12.bin" "$dir/deep/a/b/c/d/e/f/g/h/copy-of-12.bin"
    random_bytes 98 5000 >"$dir/deep/tail"
    truncate -s 8M "$dir/deep/holes"
    random_bytes 97 10000 | dd of="$dir/deep/holes" bs=4096 seek=1500 conv=notrunc status=none
    : >"$dir/empty"
    printf x >"$dir/one-byte"
    ln -s ../random/large.bin "$dir/deep/link"
    touch -h -d "@$SOURCE_DATE_EPOCH" "$dir/deep/link"
    find "$dir" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    (cd "$dir" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$dir.sha256"
}

make_ext4() {
    truncate -s "${IMAGE_SIZE:-96M}" "$2"
    mkfs.ext4 -q -F -U "$IMAGE_UUID" -E "hash_seed=$IMAGE_UUID,lazy_itable_init=0,nodiscard" \
        -d "$1" "$2"
}

# mkfs.xfs cannot take a tree: the image is mounted and filled.
make_xfs() {
    local at=$TMP/make-xfs
    require_loop
    truncate -s "${IMAGE_SIZE:-320M}" "$2"
    mkfs.xfs -q -m "uuid=$IMAGE_UUID" "$2"
    mkdir -p "$at"
    mount -o loop,nouuid "$2" "$at"
    on_exit umount -q "$at"
    cp -a "$1/." "$at/"
    umount "$at"
    # The loop device goes away with a delay, and its last writes belong to the image.
    wait_until 10 no_loop_on "$2" || die "a loop device stays on $2"
    sync "$2"
}

no_loop_on() {
    [ -z "$(losetup --noheadings --associated "$1")" ]
}

make_image() {
    local kind=$1 tree=$2 image=$3 level=()
    rm -f "$image"
    case $kind in
    ext4)
        require mkfs.ext4
        make_ext4 "$tree" "$image"
        ;;
    xfs)
        require mkfs.xfs
        make_xfs "$tree" "$image"
        ;;
    squashfs-*)
        require mksquashfs
        # A higher level costs the packer's time, and changes nothing for a reader.
        [ "$kind" != squashfs-zstd ] || level=(-Xcompression-level 1)
        mksquashfs "$tree" "$image" -comp "${kind#squashfs-}" "${level[@]}" -noappend -quiet -no-progress \
            -processors 2 >/dev/null
        ;;
    erofs)
        require mkfs.erofs
        mkfs.erofs -T "$SOURCE_DATE_EPOCH" -U "$IMAGE_UUID" "$image" "$tree" >/dev/null 2>&1
        ;;
    erofs-*)
        require mkfs.erofs
        mkfs.erofs -T "$SOURCE_DATE_EPOCH" -U "$IMAGE_UUID" "-z${kind#erofs-}" "$image" "$tree" \
            >/dev/null 2>&1
        ;;
    *)
        die "make_image: unknown kind $kind"
        ;;
    esac
}

make_store() {
    local store=$1 name=$2 image=$3
    shift 3
    mkdir -p "$store"
    "$CHUNKER" create --store "$store" --name "$name" "$@" "$image" >"$TMP/create.log" 2>&1 ||
        die "dlfuse-chunker create fails: $(tail -n 3 "$TMP/create.log")"
}

check_tree() {
    local text=$1 dir=$2 sums=$3 said
    if said=$(cd "$dir" && timeout "${4:-300}" sha256sum --quiet -c "$sums" 2>&1); then
        pass "$text: $(wc -l <"$sums") files have the right SHA-256"
    else
        fail "$text: $(printf '%s' "$said" | head -n 3)"
    fi
}
