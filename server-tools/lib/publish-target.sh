# shellcheck shell=bash
# publish-target.sh: the mirror that dlfuse-publish writes to, by rsync or by rclone. Sourced by dlfuse-publish, which has
# die, need and $WORK. Paths are relative to the mirror's top. Whatever fails ends the program with one line.
#
#   target_open TARGET           what kind it is; reads nothing
#   target_list FILE             "PATH SIZE STAMP [LINK]" of the mirror's files; none when it is not there yet
#   target_get LIST DIR          fetches those files of LIST that are there
#   target_put DIR LIST KIND     puts the files of LIST from DIR; KIND object: they never change; KIND pointer: they
#                                replace what is there
#   target_delete LIST           deletes files, and directories with what is in them
#   target_tidy DIRECTORY        removes directories below it that target_delete left empty
#   target_point GROUP ID FILES  GROUP shows the release ID, which has FILES
#   target_settle                what was put is on the disk, where that can be said
#   target_stop                  ends what runs; for traps
#
# rsync writes each file under a name that begins with a dot and renames it. Object stores put a file whole or not at all.

TARGET=
TARGET_KIND=
# Ends in / or, for the top of an rclone remote, in :
TARGET_BASE=
TARGET_CHILD=
# Options of --bwlimit and --link.
TARGET_OPTIONS=()
TARGET_LINK=()

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
    if [ "$TARGET_KIND" = directory ]; then
        TARGET_BASE=$(realpath -m -- "$1")/
        [ ! -e "$1" ] || [ -d "$1" ] || die "$1 is not a directory"
    fi
}

# In the background, so that a signal is noticed before the program ends.
target_try() {
    local status=0
    : >"$WORK/said"
    "$@" 2>>"$WORK/said" &
    TARGET_CHILD=$!
    wait "$TARGET_CHILD" || status=$?
    TARGET_CHILD=
    return "$status"
}

target_stop() {
    [ -z "$TARGET_CHILD" ] || kill "$TARGET_CHILD" 2>/dev/null || true
}

# rsync's last lines say only that something did go wrong. ssh ends lines with CR, and says other things before what matters.
rsync_cause() {
    tr -d '\r' <"$WORK/said" | awk -v vague="$1" '/^(@|\*\*|Warning: )/ { next }
        /^rsync error|unexpectedly closed|Broken pipe/ { if (last == "") last = $0; next }
        NF && first == "" { first = $0 }
        (/\([0-9]+\)$/ || /^Host key verification failed/) && cause == "" { cause = $0 }
        END { print (cause != "" ? cause : first != "" ? first : vague ? last : "") }' |
        sed -E 's/^rsync: (\[[A-Za-z]+\] )?//'
}

# What went wrong, in one line.
target_cause() {
    local cause
    if [ "$TARGET_KIND" = rclone ]; then
        # Its last line says it. What S3 says goes on in lines without a time.
        awk '/^[0-9]+\/[0-9]+\/[0-9]+ / { last = $0; next } NF { sub(/^[ \t]+/, ""); last = last (last == "" ? "" : ": ") $0 } END { print last }' "$WORK/said" |
            sed -E 's|^[0-9/]+ [0-9:]+ ||; s/^[A-Z]+ *: //; s/^.*last error was: //'
        return
    fi
    # ssh may still be writing what the host said when rsync has ended.
    for _ in 1 2 3 4 5; do
        cause=$(rsync_cause 0)
        [ -z "$cause" ] || break
        [ "$TARGET_KIND" = directory ] || sleep 0.2
    done
    echo "${cause:-$(rsync_cause 1)}"
}

# target_run WHAT COMMAND...
target_run() {
    local what=$1
    shift
    target_try "$@" || die "$what $TARGET: $(target_cause)${TARGET_HINT:+; $TARGET_HINT}"
}

# These four are only run by target_try: they take the place of its process.
# A host that says nothing for a minute will not say more; rsync's own silences are shorter.
rsync_quietly() {
    local -a patience=()
    [ "$TARGET_KIND" = directory ] || patience=(--timeout=60)
    exec rsync ${patience[@]+"${patience[@]}"} "${TARGET_OPTIONS[@]}" "$@"
}

# rclone's own number of attempts, each with twice the wait, is minutes for a server that is not there.
rclone_quietly() {
    RCLONE_LOW_LEVEL_RETRIES=${RCLONE_LOW_LEVEL_RETRIES:-6} RCLONE_RETRIES=${RCLONE_RETRIES:-2} RCLONE_CONTIMEOUT=${RCLONE_CONTIMEOUT:-15s} \
        exec rclone --log-file "$WORK/said" "${TARGET_OPTIONS[@]}" "$@"
}

# With a bar for who watches: descriptor 3 is the program's standard error.
rsync_showing() {
    if [ -t 3 ]; then rsync_quietly --info=progress2 "$@" 1>&3; else rsync_quietly "$@"; fi
}

rclone_showing() {
    if [ -t 3 ]; then rclone_quietly --progress --stats-one-line "$@" 1>&3; else rclone_quietly "$@"; fi
}

# Only what belongs to a mirror: other files may lie beside it.
target_list() {
    local status=0 kind
    local -a filter=()
    if [ "$TARGET_KIND" = rclone ]; then
        target_try rclone_quietly lsf --recursive --files-only --format pst --separator ' ' \
            --include '/{pack,index,boot,manifest,releases,groups}/**' --include '/*.dlfuse' --include /history \
            "$TARGET_BASE" >"$WORK/listed" || status=$?
        # 3: the directory is not there.
        [ "$status" = 0 ] || [ "$status" = 3 ] || die "cannot read $TARGET: $(target_cause)"
        awk 'NF == 4 { print $1, $2, $3 "-" $4 }' "$WORK/listed" >"$1"
        return
    fi
    for kind in pack index boot manifest releases groups; do
        filter+=("--include=/$kind/***")
    done
    target_try rsync_quietly --recursive --links --list-only --no-human-readable "${filter[@]}" \
        --include='/*.dlfuse' --include=/history --exclude='*' "$TARGET_BASE" >"$WORK/listed" || status=$?
    if [ "$status" != 0 ]; then
        { [ "$status" = 23 ] && grep -qE '(change_dir|link_stat) .*No such file or directory' "$WORK/said"; } ||
            die "cannot read $TARGET: $(target_cause)"
    fi
    awk '$1 !~ /^[-l]/ || (NF != 5 && $6 != "->") { next }
        { gsub(/,/, "", $2); gsub("/", "-", $3); print $5, $2, $3 "-" $4, $7 }' "$WORK/listed" >"$1"
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
    target_run "cannot read" rsync_quietly --recursive --times --include-from="$WORK/rules" --exclude='*' "$TARGET_BASE" "$2/"
}

target_put() {
    [ -s "$2" ] || return 0
    if [ "$TARGET_KIND" = rclone ]; then
        local cache=no-cache
        [ "$3" = pointer ] || cache="public, max-age=31536000, immutable"
        target_run "cannot write to" rclone_showing copy --files-from-raw "$2" --no-traverse --no-check-dest \
            --header-upload "Cache-Control: $cache" "$1" "$TARGET_BASE"
        return
    fi
    local -a options=(--times --omit-dir-times "--chmod=D755,F644" --files-from="$2")
    if [ "$3" = pointer ]; then options+=(--links --ignore-times); else options+=(${TARGET_LINK[@]+"${TARGET_LINK[@]}"}); fi
    target_run "cannot write to" rsync_showing "${options[@]}" "$1/" "$TARGET_BASE"
}

target_delete() {
    [ -s "$1" ] || return 0
    if [ "$TARGET_KIND" = rclone ]; then
        target_run "cannot delete from" rclone_quietly delete --files-from-raw "$1" "$TARGET_BASE"
        return
    fi
    # What is missing here is deleted there; but directories above it must be here.
    rm -rf "$WORK/empty"
    mkdir "$WORK/empty"
    sed 's|/[^/]*$||' "$1" | sort -u | (cd "$WORK/empty" && xargs -r mkdir -p)
    target_run "cannot delete from" rsync_quietly --recursive --delete-missing-args --force --files-from="$1" \
        "$WORK/empty/" "$TARGET_BASE"
}

target_tidy() {
    [ "$TARGET_KIND" != rclone ] || target_run "cannot delete from" rclone_quietly rmdirs --leave-root "$TARGET_BASE$1"
}

# A symbolic link is replaced by one rename. Where there are none, the files are copied, and what says which release
# it is comes last; then what is left of the one before goes.
target_point() {
    local group=$1 id=$2 files=$3
    if [ "$TARGET_KIND" != rclone ]; then
        mkdir -p "$WORK/point/groups"
        ln -sfn "../releases/$id" "$WORK/point/groups/$group"
        echo "groups/$group" >"$WORK/point.list"
        target_put "$WORK/point" "$WORK/point.list" pointer
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
