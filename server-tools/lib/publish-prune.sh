# shellcheck shell=bash disable=SC2154 # store, of who sources this
# publish-prune.sh: removes old files from a mirror. Sourced by dlfuse-publish, after the other parts of it. Writes only
# below $WORK, and to the mirror by target_*.
#
#   prune KEEP GRACE DRY-RUN    the store is $store; the mirror is open
#
# Kept are: NAME.dlfuse of every image, the release of each group and the one before it, releases and manifests that
# history_kept prints, manifests that the store has, and the objects that all these need; and all objects that the store
# has. The objects of a kept manifest are looked up before the first deletion: if that is impossible, nothing is deleted.
#
# The mirror is listed before the store: an object that a publisher of this store adds meanwhile is in the store then.

# Enters files that the history does not know, as seen now: they are kept for as long as if a machine had booted them just
# now. Files that the store has are kept anyway, and the manifest of a release goes with the release.
prune_known() {
    local history=$WORK/mirror/history
    {
        awk 'NF == 4 { print $4 }' "$history"
        cat "$WORK/store.manifests"
        cat "$WORK"/mirror/releases/*/release 2>/dev/null | awk '$1 == "image" { print $4 }' || true
    } >"$WORK/known"
    awk -v now="$NOW" 'FILENAME == ARGV[1] { known[$1]; next }
        $1 !~ /^(manifest|releases)\/[0-9A-Za-z_]/ { next }
        { split($1, part, "/") }
        !(part[2] in known) {
            known[part[2]]
            print now, "seen", (part[1] == "manifest" ? "manifest" : "release"), part[2]
        }' "$WORK/known" "$WORK/present" >"$WORK/seen"
    cat "$WORK/seen" >>"$history"
}

# prune_without_keep DIRECTORY WORD: the files of the mirror's DIRECTORY that no line "WORD NAME" keeps.
prune_without_keep() {
    awk -v directory="$1" -v word="$2" 'FILENAME == ARGV[1] { keep[$1 " " $2]; next }
        $1 ~ /\/\.|\.partial$/ { next } # on its way
        { split($1, part, "/") }
        part[1] == directory && !((word " " part[2]) in keep) { print $1 }' "$WORK/kept" "$WORK/present"
}

# Finds the kept manifests of the mirror, one file a line, and the files to remove because they are none of them.
prune_choose() {
    local file digest group id
    awk '{ print $1 }' "$WORK/present" | grep -E '^([^/]+|(releases|groups)/[^/]+/[^/]+)\.dlfuse$|^manifest/[0-9a-f]{64}$' \
        >"$WORK/manifests" || true
    target_get "$WORK/manifests" "$WORK/mirror"
    history_kept "$WORK/mirror/history" "$1" "$2" "$NOW_S" >"$WORK/kept"
    # A group is on its release, even if the history says otherwise, and one step back is always possible.
    while read -r group id; do
        echo "release $id"
        echo "release $(history_before "$WORK/mirror/history" "$group" "$id")"
    done <"$WORK/groups" >>"$WORK/kept"
    awk '{ print "manifest", $1 }' "$WORK/store.manifests" >>"$WORK/kept"
    : >"$WORK/roots"
    while read -r file; do
        case $file in
        manifest/*) continue ;;
        releases/*) grep -qxF "release $(cut -d / -f 2 <<<"$file")" "$WORK/kept" || continue ;;
        esac
        echo "$file" >>"$WORK/roots"
        digest=$(digest_of "$WORK/mirror/$file")
        echo "manifest $digest" >>"$WORK/kept"
    done <"$WORK/manifests"
    sort -u -o "$WORK/kept" "$WORK/kept"
    awk 'FILENAME == ARGV[1] { keep[$1 "/" $2]; next } /^manifest\// && ($1 in keep)' "$WORK/kept" "$WORK/manifests" >>"$WORK/roots"
    prune_without_keep manifest manifest >"$WORK/gone.manifests"
    prune_without_keep releases release >"$WORK/gone.releases"
}

# All objects that the kept manifests need. Index heads come from the store where it has them.
prune_reach() {
    local file index
    : >"$WORK/reached"
    : >"$WORK/indexes"
    while read -r file; do
        manifest_read "$WORK/mirror/$file" || die "$TARGET/$file: $MANIFEST_WHY; nothing was removed from the mirror"
        index=index/$MANIFEST_INDEX
        [ -e "$store/$index" ] || echo "$index" >>"$WORK/indexes"
    done <"$WORK/roots"
    sort -u -o "$WORK/indexes" "$WORK/indexes"
    target_get "$WORK/indexes" "$WORK/mirror"
    while read -r file; do
        manifest_read "$WORK/mirror/$file"
        index=index/$MANIFEST_INDEX
        manifest_objects "$store/$index" 2>/dev/null >>"$WORK/reached" ||
            { [ -e "$WORK/mirror/$index" ] && manifest_objects "$WORK/mirror/$index" >>"$WORK/reached"; } ||
            die "$TARGET/$index is missing or damaged, and $file needs it; nothing was removed from the mirror"
    done <"$WORK/roots"
    cut -d ' ' -f 1 "$WORK/reached" | sort -u -o "$WORK/reached"
}

# Objects without a user, and the rest of interrupted uploads, if they came to the mirror before the last GRACE: another
# store's publisher puts objects first. The age is by the mirror's clock; without grace it is not asked.
prune_objects() {
    local before any=0
    before=$(time_before "$NOW_S" "$1" | tr T - | tr -d Z)
    [[ ! $1 =~ ^0+[smhd]$ ]] || any=1
    awk -v before="$before" -v any="$any" -v keeps="$WORK/reached" -v stored="$WORK/store.objects" '
        BEGIN {
            while ((getline line <keeps) > 0) keep[line]
            while ((getline line <stored) > 0) keep[line]
        }
        $1 !~ /^(index|boot|pack|manifest)\// { next }
        $1 !~ /^[a-z]+\/[0-9a-f]+$/ {
            if ($1 ~ /\/\.[^\/]*$|\.partial$/ && $3 <= before) print "temporary", $1
            next
        }
        $1 !~ /^manifest/ && !($1 in keep) && (any || $3 <= before) { print "object", $1 }' "$WORK/present" >"$WORK/unneeded"
    awk '$1 == "temporary" || $2 ~ /^(index|boot)/ { print $2 }' "$WORK/unneeded" >"$WORK/gone.pointers"
    awk '$1 == "object" && $2 ~ /^pack/ { print $2 }' "$WORK/unneeded" >"$WORK/gone.packs"
}

# prune_stop_if_new MESSAGE: ends the program if the mirror shows anything that $WORK/present lacks.
prune_stop_if_new() {
    local new
    target_list "$WORK/again"
    new=$(comm -13 <(prune_shown "$WORK/present") <(prune_shown "$WORK/again") | sed -n 1p)
    [ -z "$new" ] || die "$TARGET was published to meanwhile (${new%% *})$1"
}

# The mark of a release goes first: without it, it is no release. A publisher that puts its manifests before objects go has
# them all; one that puts them while objects go may lack some.
prune_delete() {
    local list new="; no object was removed from it, prune again later"
    grep -E '^releases/[^/]+/release$' "$WORK/gone.releases" >"$WORK/gone.marks" || true
    if [ "$TARGET_KIND" != rclone ]; then
        cut -d / -f 1-2 "$WORK/gone.releases" | sort -u >"$WORK/gone.directories"
        mv "$WORK/gone.directories" "$WORK/gone.releases"
    fi
    for list in marks releases; do
        target_delete "$WORK/gone.$list"
    done
    [ ! -s "$WORK/gone.releases" ] || target_tidy releases
    for list in manifests pointers packs; do
        [ -s "$WORK/gone.$list" ] || continue
        prune_stop_if_new "$new"
        target_delete "$WORK/gone.$list"
        new=" while objects were removed from it, and may lack some: publish that again (--verify finds what is missing)"
    done
    [ ! -s "$WORK/gone" ] || prune_stop_if_new "$new"
}

# The pointers of the mirror, and their times: a publisher that needs an object due for removal has changed one. rclone
# lists in any order.
prune_shown() { awk '/^(manifest\/|[^\/]+\.dlfuse |releases\/[^\/]+\/release |groups\/)/' "$1" | sort; }

# prune_plan KEEP GRACE: lists the files to remove in $WORK/gone*.
prune_plan() {
    mirror_read
    # With --dry-run they are still there.
    (cd "$store" && find -L index boot pack manifest -type f 2>/dev/null) |
        awk 'FILENAME == ARGV[1] { gone[$1]; next } !($1 in gone)' "$WORK/collected" - >"$WORK/store.objects"
    sed -n 's|^manifest/||p' "$WORK/store.objects" >"$WORK/store.manifests"
    prune_known
    prune_choose "$1" "$2"
    prune_reach
    prune_objects "$2"
    sort -u "$WORK"/gone.{manifests,releases,pointers,packs} >"$WORK/gone"
    awk 'FILENAME == ARGV[1] { gone[$1]; next } $1 in gone { n++; bytes += $2 } END { print n + 0, bytes + 0 }' "$WORK/gone" "$WORK/present" >"$WORK/sum"
}

prune() {
    local keep=$1 grace=$2 dry=$3 try
    local -a gc=(dlfuse-chunker gc --store "$store" --keep "$keep" --grace "$grace" --quiet)
    [ "$dry" = 0 ] || gc+=(--dry-run)
    "${gc[@]}" >"$WORK/collected" || die "dlfuse-chunker gc failed; the mirror is as it was"
    prune_plan "$keep" "$grace"
    if [ "$dry" = 1 ]; then
        sed 's|^|store |' "$WORK/collected"
        awk 'FILENAME == ARGV[1] { gone[$1]; next } $1 in gone { print "mirror", $1, $2 }' "$WORK/gone" "$WORK/present"
        return
    fi
    # Another store's publisher may have come since.
    for try in 1 2 3; do
        [ -s "$WORK/gone" ] || break
        target_list "$WORK/again"
        ! cmp -s <(prune_shown "$WORK/present") <(prune_shown "$WORK/again") || break
        [ "$try" != 3 ] || die "$TARGET is being published to; nothing was removed from it, prune again later"
        prune_plan "$keep" "$grace"
    done
    # First the history, which the next run needs.
    [ ! -s "$WORK/seen" ] || history_put
    prune_delete
    echo "removed from the store $(wc -l <"$WORK/collected") objects, from $TARGET $(awk '{ printf "%d files, %.1f MB", $1, $2 / 1e6 }' "$WORK/sum")"
}
