# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# publish-history.sh: releases, and the mirror's own record of its changes, which rollback and prune go by. Sourced by
# dlfuse-publish. Writes only below $WORK.
#
# The file history has a line for each change, the last one last, words with one blank between:
#
#   TIME image NAME SHA256     NAME.dlfuse became the manifest with this SHA-256
#   TIME release - ID          the release ID was complete
#   TIME group GROUP ID        GROUP went to release ID
#   TIME rollback GROUP ID     GROUP went back to it
#   TIME seen manifest SHA256  prune found it and did not know since when; the same with: release ID
#
#   release_read FILE                    sets RELEASE_ID and RELEASE_TIME; false when it is no release
#   history_last FILE KIND KEY           the value in the last line of that kind and key; nothing without one
#   history_group FILE GROUP             the release that GROUP went to last
#   history_before FILE GROUP CURRENT    the release that GROUP was on before CURRENT, rollbacks undone
#   history_kept FILE KEEP GRACE NOW     "manifest SHA256" and "release ID" of the last line of each kind and key, of lines
#                                        in use within the last KEEP, and of lines added within the last GRACE

RELEASE_ID=
RELEASE_TIME=

release_read() {
    local facts
    facts=$(awk 'NR == 1 && $0 != "dlfuse-release 1" { exit }
        $1 == "id" && $2 ~ /^[A-Za-z0-9_][A-Za-z0-9._-]*$/ { id = $2 }
        $1 == "published" { time = $2 }
        ($1 == "file" || $1 == "image") && (NF != 4 || $2 !~ /^[A-Za-z0-9_][A-Za-z0-9._-]*$/ || $3 !~ /^[0-9]+$/ ||
            length($4) != 64 || $4 ~ /[^0-9a-f]/) { bad = 1 }
        END { if (id == "" || time == "" || bad) exit 1; print id, time }' "$1") || return 1
    read -r RELEASE_ID RELEASE_TIME <<<"$facts"
}

history_last() { awk -v kind="$2" -v key="$3" '$2 == kind && $3 == key { last = $4 } END { print last }' "$1"; }

history_group() { awk -v group="$2" '($2 == "group" || $2 == "rollback") && $3 == group { last = $4 } END { print last }' "$1"; }

# A rollback removes from the stack the releases after its target.
history_before() {
    awk -v group="$2" -v current="$3" '
        $3 != group { next }
        $2 == "group" && stack[top] != $4 { stack[++top] = $4 }
        $2 == "rollback" {
            while (top > 0 && stack[top] != $4) top--
            if (!top) stack[++top] = $4
        }
        END {
            for (n = top; n > 0 && stack[n] != current; n--) ;
            # Not there: the group was changed without a line here.
            if (!n) n = top + 1
            print (n > 1 ? stack[n - 1] : "")
        }' "$1"
}

# Times compare as text. The value of a line is in use until the next line of its kind and key.
history_kept() {
    local keep_since='' keep_count=0 grace_since
    grace_since=$(time_before "$4" "$3")
    if [[ $2 =~ ^[0-9]+$ ]]; then keep_count=$2; else keep_since=$(time_before "$4" "$2"); fi
    awk -v keep_since="$keep_since" -v keep_count="$keep_count" -v grace_since="$grace_since" '
        NF != 4 { next }
        { kind = $2; if (kind == "rollback") kind = "group" }
        kind == "seen" { if ($1 >= (keep_since == "" ? grace_since : keep_since) || $1 >= grace_since) print $3, $4; next }
        { line = kind " " $3; n = ++count[line]; time[line, n] = $1; what[line, n] = $4 }
        END {
            for (line in count) {
                n = count[line]
                split(line, words, " ")
                name = words[1] == "image" ? "manifest" : "release"
                for (i = n; i >= 1; i--)
                    if (i == n || i >= n - keep_count || time[line, i] >= grace_since ||
                        (keep_since != "" && time[line, i + 1] > keep_since)) print name, what[line, i]
            }
        }' "$1" | sort -u
}

# time_before SECONDS-SINCE-1970 DURATION
time_before() {
    local number=${2%[smhd]} unit=1
    case $2 in
    *m) unit=60 ;;
    *h) unit=3600 ;;
    *d) unit=86400 ;;
    esac
    date -u -d "@$(($1 - number * unit))" +%Y-%m-%dT%H:%M:%SZ
}
