# shellcheck shell=bash
# publish-target.sh: the mirror that dlfuse-publish writes to, by rsync or by rclone. Sourced by dlfuse-publish, which has die,
# need and $WORK. Paths are relative to the mirror's top. Any failure ends the program with one line.
#
#   target_open TARGET           finds out its kind; reads nothing
#   target_list FILE             "PATH SIZE STAMP" of the mirror's files, links followed; none when it is not there yet.
#                                STAMP is when it was put. $WORK/dangling: groups that lead to no release
#   target_get LIST DIR          fetches those files of LIST that are there
#   target_put DIR LIST KIND     puts the files of LIST from DIR; KIND object: they never change; KIND pointer: they
#                                replace existing files; KIND link: the same for symbolic links
#   target_delete LIST           deletes files, and directories with their content
#   target_tidy DIRECTORY        removes directories below it that target_delete left empty
#   target_point GROUP ID FILES  GROUP shows the release ID, which has FILES
#   target_settle                the files put are on the disk, where that can be said
#   target_stop                  ends the running command; for traps
#
# rsync writes each file under a name that begins with a dot and renames it. Object stores put a file whole or not at all.
#
# A mirror's pack, or another of its directories, may be a symbolic link to another disk. rsync replaces a link on the way to a
# file by a new directory. So it always starts in the directory itself (HOST:MIRROR/pack/): links before that are followed.
# --keep-dirlinks does not help: rsync 3.5 follows no link that leads out of the tree.

TARGET=
TARGET_KIND=
# Ends in / or, for the top of an rclone remote, in :
TARGET_BASE=
TARGET_CHILD=
TARGET_STATUS=0
# The directories of a mirror.
readonly TARGET_TOPS=(pack index boot manifest releases groups)
# Options of --bwlimit.
TARGET_OPTIONS=()
# --link: objects become links to those of this directory.
TARGET_LINK=

# The part before the first slash decides: a colon in it means that it is no directory.
target_kind() {
    case $1 in
    :*) echo rclone && return ;;
    rsync://*) echo rsync && return ;;
    esac
    case ${1%%/*} in
    *::* | *@*:*) echo rsync ;;
    *:*) if [[ $1 == *:/* ]]; then echo rsync; else echo rclone; fi ;;
    *) echo directory ;;
    esac
}

target_open() {
    TARGET=$1
    TARGET_KIND=$(target_kind "$1")
    case $1 in
    *:) TARGET_BASE=$1 ;;
    *) TARGET_BASE=${1%/}/ ;;
    esac
    if [ "$TARGET_KIND" = rclone ]; then
        need rclone rclone
    else
        need rsync rsync
    fi
    case $TARGET_KIND:$1 in
    rsync:rsync://* | rsync:*::*) ;;
    rsync:*) [ -n "${RSYNC_RSH:-}" ] || need ssh openssh-client ;;
    esac
    if [ "$TARGET_KIND" = directory ]; then
        TARGET_BASE=$(realpath -m -- "$1")/
        [ ! -e "$1" ] || [ -d "$1" ] || die "$1 is not a directory"
    fi
}

# target_try COMMAND...: its messages are in $WORK/said, its output in $WORK/out, its status in TARGET_STATUS. In the
# background, so that a signal is noticed before the program ends.
#
# COMMAND must be repeatable. When the other side ends at once, its messages are lost one in eight times (rsync 3.5.0 over
# OpenSSH), and COMMAND runs again to get them.
target_try() {
    for _ in 1 2 3; do
        TARGET_STATUS=0
        : >"$WORK/said"
        "$@" >"$WORK/out" 2>>"$WORK/said" &
        TARGET_CHILD=$!
        wait "$TARGET_CHILD" || TARGET_STATUS=$?
        TARGET_CHILD=
        if [ "$TARGET_STATUS" = 0 ] || [ -s "$WORK/said" ]; then
            break
        fi
    done
    return "$TARGET_STATUS"
}

target_stop() {
    [ -z "$TARGET_CHILD" ] || kill "$TARGET_CHILD" 2>/dev/null || true
}

# rsync's last lines say only that there was an error. ssh ends lines with CR, and prints other lines before the cause.
rsync_cause() {
    tr -d '\r' <"$WORK/said" | awk -v vague="$1" '/^(@|\*\*|Warning: )/ { next }
        /^rsync error|unexpectedly closed|Broken pipe/ { if (last == "") last = $0; next }
        NF && first == "" { first = $0 }
        (/\([0-9]+\)$/ || /^Host key verification failed/) && cause == "" { cause = $0 }
        END { print (cause != "" ? cause : first != "" ? first : vague ? last : "") }' |
        sed -E 's/^rsync: (\[[A-Za-z]+\] )?//'
}

# The cause, in one line.
target_cause() {
    local cause program=rsync
    [ "$TARGET_KIND" != rclone ] || program=rclone
    if [ ! -s "$WORK/said" ]; then
        echo "$program ended with status $TARGET_STATUS, without a word of why"
        return
    fi
    if [ "$program" = rclone ]; then
        # The last line has the cause. The message of S3 continues in lines without a time.
        awk '/^[0-9]+\/[0-9]+\/[0-9]+ / { last = $0; next } NF { sub(/^[ \t]+/, ""); last = last (last == "" ? "" : ": ") $0 } END { print last }' "$WORK/said" |
            sed -E 's|^[0-9/]+ [0-9:]+ ||; s/^[A-Z]+ *: //; s/^.*last error was: //'
        return
    fi
    # ssh may still be writing the host's message when rsync has ended; on a busy machine for seconds.
    for _ in {1..25}; do
        cause=$(rsync_cause 0)
        [ -z "$cause" ] || break
        [ "$TARGET_KIND" = directory ] || sleep 0.2
    done
    echo "${cause:-$(rsync_cause 1)}"
}

# target_run MESSAGE COMMAND...
target_run() {
    local what=$1
    shift
    target_try "$@" || die "$what $TARGET: $(target_cause)${TARGET_HINT:+; $TARGET_HINT}"
}

# Only target_try runs these four: they take the place of its process. A host that is silent for a minute will stay so; rsync's
# own silences are shorter.
rsync_quietly() {
    local -a patience=()
    [ "$TARGET_KIND" = directory ] || patience=(--timeout=60)
    exec rsync ${patience[@]+"${patience[@]}"} "${TARGET_OPTIONS[@]}" "$@"
}

# rclone's own number of attempts, each with twice the wait, takes minutes if the server does not exist.
rclone_quietly() {
    RCLONE_LOW_LEVEL_RETRIES=${RCLONE_LOW_LEVEL_RETRIES:-6} RCLONE_RETRIES=${RCLONE_RETRIES:-2} RCLONE_CONTIMEOUT=${RCLONE_CONTIMEOUT:-15s} \
        exec rclone --copy-links --log-file "$WORK/said" "${TARGET_OPTIONS[@]}" "$@"
}

# With a bar on a terminal: descriptor 3 is the program's standard error.
rsync_showing() {
    if [ -t 3 ]; then rsync_quietly --info=progress2 "$@" 1>&3; else rsync_quietly "$@"; fi
}

rclone_showing() {
    if [ -t 3 ]; then rclone_quietly --progress --stats-one-line "$@" 1>&3; else rclone_quietly "$@"; fi
}

# Reads rsync's messages about broken links; false when it printed any other message. A group may have the name of a directory
# of the mirror, and the mirror may be called groups.
target_dangling() {
    local tops groups=/groups
    [[ $TARGET_BASE != */groups/ ]] || groups=/groups/groups
    tops=$(IFS='|' && echo "${TARGET_TOPS[*]}")
    ! grep -vqE '^(rsync: )?(\[[A-Za-z]+\] )?symlink has no referent: |^rsync error: ' "$WORK/said" || return 1
    sed -nE -e "\~symlink has no referent: \"(.*)?$groups/[^/\"]+\"~d" \
        -e "s~^.*symlink has no referent: \".*/($tops)\"( \\(in .*)?\$~\\1~p" "$WORK/said" >"$WORK/gone-tops"
    [ ! -s "$WORK/gone-tops" ] ||
        die "$TARGET: $(head -n 1 "$WORK/gone-tops") is a symbolic link to a directory that is not there; is its disk mounted?"
    sed -nE "s~^.*symlink has no referent: \".*$groups/([^/\"]+)\"( \\(in .*)?\$~\\1~p" "$WORK/said" >"$WORK/dangling"
}

# Only files that belong to a mirror: other files may lie beside it.
target_list() {
    local status=0 top
    local -a filter=()
    : >"$WORK/dangling"
    if [ "$TARGET_KIND" = rclone ]; then
        # The server's own time, where it has one: for another time S3 would be asked about each object.
        target_try rclone_quietly lsf --recursive --files-only --use-server-modtime --format pst --separator ' ' \
            --include '/{pack,index,boot,manifest,releases,groups}/**' --include '/*.dlfuse' --include /history \
            "$TARGET_BASE" || status=$?
        # 3: the directory does not exist.
        [ "$status" = 0 ] || [ "$status" = 3 ] || die "cannot read $TARGET: $(target_cause)"
        awk 'NF == 4 { print $1, $2, $3 "-" $4 }' "$WORK/out" >"$1"
        return
    fi
    for top in "${TARGET_TOPS[@]}"; do
        # Without *** too: a broken link is no directory.
        filter+=("--include=/$top/***" "--include=/$top")
    done
    target_try rsync_quietly --recursive --copy-links --list-only --no-human-readable "${filter[@]}" \
        --include='/*.dlfuse' --include=/history --exclude='*' "$TARGET_BASE" || status=$?
    case $status in
    0 | 24) ;; # 24: a file went while it looked
    23)
        grep -qE '(change_dir|link_stat) .*No such file or directory' "$WORK/said" || target_dangling ||
            die "cannot read $TARGET: $(target_cause)"
        ;;
    *) die "cannot read $TARGET: $(target_cause)" ;;
    esac
    awk '$1 ~ /^d/ && NF == 5 { print $5 }' "$WORK/out" >"$WORK/directories"
    awk '$1 !~ /^-/ || NF != 5 { next }
        { gsub(/,/, "", $2); gsub("/", "-", $3); print $5, $2, $3 "-" $4 }' "$WORK/out" >"$1"
}

target_get() {
    [ -s "$1" ] || return 0
    mkdir -p "$2"
    if [ "$TARGET_KIND" = rclone ]; then
        target_run "cannot read" rclone_quietly copy --files-from-raw "$1" --no-traverse "$TARGET_BASE" "$2"
        return
    fi
    # Rules, not --files-from: with that the daemon of rsync 3.5.0 finds nothing below a module's directory.
    awk '{
        count = split($1, part, "/")
        path = ""
        for (i = 1; i < count; i++) {
            path = path "/" part[i]
            if (!(path in above)) print "+ " path "/"
            above[path]
        }
        print "+ /" $1
    }' "$1" >"$WORK/rules"
    target_run "cannot read" rsync_quietly --recursive --copy-links --times --include-from="$WORK/rules" --exclude='*' "$TARGET_BASE" "$2/"
}

# target_parts LIST: the directory that each of its paths begins with, "pack/" or "" for the top itself, one a line; its
# paths below that are in $WORK/part-pack, or $WORK/part-.
target_parts() {
    rm -f "$WORK"/part-*
    awk -v prefix="$WORK/part-" '{
        at = index($0, "/")
        top = substr($0, 1, at ? at - 1 : 0)
        print substr($0, at + 1) >(prefix top)
        if (!(top in seen)) print top (at ? "/" : "")
        seen[top]
    }' "$1"
}

# Makes those of the directories that the mirror lacks. An existing entry of any type stays.
target_make() {
    local top
    : >"$WORK/made"
    for top in "$@"; do
        top=${top%/}
        [ -z "$top" ] || grep -qxF "$top" "$WORK/directories" || echo "$top" >>"$WORK/made"
    done
    [ -s "$WORK/made" ] || return 0
    rm -rf "$WORK/empty"
    mkdir "$WORK/empty"
    (cd "$WORK/empty" && xargs mkdir <"$WORK/made")
    target_run "cannot write to" rsync_quietly --dirs --ignore-existing "--chmod=D755" --files-from="$WORK/made" \
        "$WORK/empty/" "$TARGET_BASE"
    cat "$WORK/made" >>"$WORK/directories"
}

# Prune goes by the age that an object has on the mirror. Where it takes the age of the store's file along, the file's age is
# renewed first.
target_renew() { (cd "$1" && xargs -r touch --no-create <"$2") 2>/dev/null || true; }

target_put() {
    local top
    [ -s "$2" ] || return 0
    if [ "$TARGET_KIND" = rclone ]; then
        local cache=no-cache
        if [ "$3" = object ]; then
            cache="public, max-age=31536000, immutable"
            target_renew "$1" "$2"
        fi
        target_run "cannot write to" rclone_showing copy --files-from-raw "$2" --no-traverse --no-check-dest \
            --header-upload "Cache-Control: $cache" "$1" "$TARGET_BASE"
        return
    fi
    local -a tops options=("--chmod=D755,F644")
    case $3 in
    object) options+=(--copy-links) ;;
    pointer) options+=(--copy-links --times --omit-dir-times --ignore-times) ;;
    link) options+=(--links) ;;
    esac
    mapfile -t tops < <(target_parts "$2")
    target_make "${tops[@]}"
    # A daemon cuts the .. off links that lead out of the directory that it was started in.
    if [ "$3" = link ] && [[ $TARGET == rsync://* || $TARGET == *::* ]]; then
        target_run "cannot write to" rsync_showing "${options[@]}" --no-implied-dirs --files-from="$2" "$1/" "$TARGET_BASE"
        return
    fi
    [ -z "$TARGET_LINK" ] || [ "$3" != object ] || target_renew "$TARGET_LINK" "$2"
    for top in "${tops[@]}"; do
        target_run "cannot write to" rsync_showing "${options[@]}" ${TARGET_LINK:+"--link-dest=$TARGET_LINK/$top"} \
            --files-from="$WORK/part-${top%/}" "$1/$top" "$TARGET_BASE$top"
    done
}

target_delete() {
    local top
    [ -s "$1" ] || return 0
    if [ "$TARGET_KIND" = rclone ]; then
        target_run "cannot delete from" rclone_quietly delete --files-from-raw "$1" "$TARGET_BASE"
        return
    fi
    # Files missing here are deleted there; but directories above them must exist here.
    for top in $(target_parts "$1"); do
        rm -rf "$WORK/empty"
        mkdir "$WORK/empty"
        sed -n 's|/[^/]*$||p' "$WORK/part-${top%/}" | sort -u | (cd "$WORK/empty" && xargs -r mkdir -p)
        target_run "cannot delete from" rsync_quietly --recursive --delete-missing-args --force \
            --files-from="$WORK/part-${top%/}" "$WORK/empty/" "$TARGET_BASE$top"
    done
}

target_tidy() {
    [ "$TARGET_KIND" != rclone ] || target_run "cannot delete from" rclone_quietly rmdirs --leave-root "$TARGET_BASE$1"
}

# target_point_is GROUP ID FILE: FILE is the release found through the group's link; it must be ID.
target_point_is() {
    { [ -e "$3" ] && release_read "$3" && [ "$RELEASE_ID" = "$2" ]; } ||
        die "$TARGET: groups/$1 is to be a link to ../releases/$2, which does not lead there: make groups a directory of the mirror, or put releases beside the one that it is a link to"
}

# target_point_look GROUP ID: where groups is itself a link, ../releases is beside the directory that it leads to. A daemon may
# resolve that path by itself; there the check follows afterwards.
target_point_look() {
    [[ $TARGET != rsync://* && $TARGET != *::* ]] && grep -qxF groups "$WORK/directories" || return 0
    rm -rf "$WORK/pointed"
    mkdir "$WORK/pointed"
    target_try rsync_quietly --copy-links "${TARGET_BASE}groups/../releases/$2/release" "$WORK/pointed/" ||
        grep -qE '(change_dir|link_stat) .*No such file or directory' "$WORK/said" || die "cannot read $TARGET: $(target_cause)"
    target_point_is "$1" "$2" "$WORK/pointed/release"
}

target_point_check() {
    echo "groups/$1/release" >"$WORK/point.list"
    rm -rf "$WORK/pointed"
    target_get "$WORK/point.list" "$WORK/pointed"
    target_point_is "$1" "$2" "$WORK/pointed/groups/$1/release"
}

# A symbolic link is replaced by one rename. On a mirror without links, the files are copied, and the file that names the
# release comes last. Then the leftover files of the release before are deleted.
target_point() {
    local group=$1 id=$2 files=$3
    if [ "$TARGET_KIND" != rclone ]; then
        target_point_look "$group" "$id"
        mkdir -p "$WORK/point/groups"
        ln -sfn "../releases/$id" "$WORK/point/groups/$group"
        echo "groups/$group" >"$WORK/point.list"
        target_put "$WORK/point" "$WORK/point.list" link
        target_point_check "$group" "$id"
        return
    fi
    local list
    grep -v '^release' "$files" >"$WORK/point.files"
    grep '^release[.]' "$files" >"$WORK/point.scripts"
    echo release >"$WORK/point.mark"
    for list in files scripts mark; do
        [ -s "$WORK/point.$list" ] || continue
        target_run "cannot write to" rclone_quietly copy --files-from-raw "$WORK/point.$list" --no-traverse --no-check-dest \
            --header-upload "Cache-Control: no-cache" "${TARGET_BASE}releases/$id" "${TARGET_BASE}groups/$group"
    done
    awk -v prefix="groups/$group/" 'FILENAME == ARGV[1] { keep[prefix $1]; next }
        index($1, prefix) == 1 && !($1 in keep) { print $1 }' "$files" "$WORK/present" >"$WORK/point.gone"
    target_delete "$WORK/point.gone"
}

target_settle() {
    [ "$TARGET_KIND" != directory ] || sync -f "$TARGET_BASE" 2>/dev/null || true
}
