# shellcheck shell=sh
# dlfuse-arguments.sh: the arguments rd.dlfuse.NAME=VALUE and the form of their values. Sourced by dlfuse-lib.sh.
#
# A wrong argument has no effect but one line on the console, before anything else is tried: the machine boots as without it.
# rd.dlfuse.serial= and rd.dlfuse.digest= are exceptions, for they restrict the image: a wrong one is passed on, and nothing is
# booted.
#
#   dlfuse_option NAME       value of the last rd.dlfuse.NAME= that is right; 1: there is none
#   dlfuse_options NAME      the values of all that are right, one a line
#   dlfuse_debugs            0 if rd.dlfuse.debug is given
#   dlfuse_check_arguments   the lines on the console, once a boot

# NAME:KIND of each.
DLFUSE_ARGUMENTS='boot:switch cache:room debug:flag digest:digest ending:delay fallback:switch fill:switch filldelay:delay
fillrate:size full:url handover:handover hedge:switch hostname:name machine-id:id mirror:url overlay:overlay prefetch:switch proxy:url
report:url serial:serial timeout:seconds'

# dlfuse_argument_kind NAME: on stdout; 1: there is no such argument.
dlfuse_argument_kind() {
    for _argument in $DLFUSE_ARGUMENTS; do
        [ "${_argument%:*}" != "$1" ] || {
            echo "${_argument#*:}"
            return 0
        }
    done
    return 1
}

dlfuse_argument_names() {
    for _argument in $DLFUSE_ARGUMENTS; do
        printf ' %s' "${_argument%:*}"
    done
}

# dlfuse_wants KIND: prints the form of its values, in words.
dlfuse_wants() {
    case $1 in
    switch) echo "0 or 1" ;;
    handover) echo "auto, 0 or 1" ;;
    overlay) echo "tmpfs or none" ;;
    room) echo "a size of 4M or more, or a percentage (2G, 50%)" ;;
    size) echo "a size (512K, 4M)" ;;
    delay) echo "seconds, up to 86400" ;;
    seconds) echo "seconds" ;;
    url) echo "a URL, http:// or https://" ;;
    serial) echo "a number from 1 on" ;;
    digest) echo "a SHA-256 in 64 hexadecimal digits" ;;
    name) echo "letters, digits, hyphens and dots" ;;
    id) echo "auto, dmi, mac, 0, or an id of 32 hexadecimal digits" ;;
    flag) echo "nothing, 0 or 1" ;;
    esac
}

# dlfuse_is_number TEXT: digits of a number that a shell can handle.
dlfuse_is_number() {
    case $1 in '' | *[!0-9]* | ???????????????*) return 1 ;; esac
}

# dlfuse_is_size TEXT: a number with K, M, G or T behind it, or none.
dlfuse_is_size() { dlfuse_is_number "${1%[KMGT]}"; }

# dlfuse_is_room TEXT: a size that the daemon takes for its cache.
dlfuse_is_room() {
    local number="${1%[KMGT%]}"
    dlfuse_is_number "$number" || return 1
    case $1 in
    *%) [ "$number" -ge 1 ] && [ "$number" -le 100 ] ;;
    *[GT]) [ "$number" -ge 1 ] ;;
    *M) [ "$number" -ge 4 ] ;;
    *K) [ "$number" -ge 4096 ] ;;
    *) [ "$number" -ge 4194304 ] ;;
    esac
}

# dlfuse_fits KIND VALUE
dlfuse_fits() {
    case $1:$2 in
    switch:[01] | handover:auto | handover:[01] | overlay:tmpfs | overlay:none) ;;
    flag: | flag:[01] | flag:no | flag:off | flag:yes | flag:on) ;;
    url:http://?* | url:https://?*) ;;
    id:auto | id:dmi | id:mac | id:0 | id:no | id:off) ;;
    id:*) [ -n "$(dlfuse_as_id "$2")" ] ;;
    room:*) dlfuse_is_room "$2" ;;
    size:*) dlfuse_is_size "$2" ;;
    delay:*) dlfuse_is_number "$2" && [ "$2" -le 86400 ] ;;
    seconds:*) dlfuse_is_number "$2" ;;
    serial:0*) return 1 ;;
    # As many digits as 64 bits have.
    serial:?????????????????????*) return 1 ;;
    serial:*) case $2 in '' | *[!0-9]*) return 1 ;; esac ;;
    digest:*) [ ${#2} = 64 ] && case $2 in *[!0-9A-Fa-f]*) false ;; esac ;;
    name:[A-Za-z0-9]*) case $2 in *[!A-Za-z0-9.-]*) return 1 ;; esac ;;
    *) return 1 ;;
    esac
}

dlfuse_option() {
    local value
    value=$(dlfuse_options "$1")
    [ -n "$value" ] && printf '%s\n' "${value##*
}"
}

dlfuse_options() {
    local values kind
    values=$(dlfuse_args "rd.dlfuse.$1")
    [ -n "$values" ] || return 0
    kind=$(dlfuse_argument_kind "$1")
    printf '%s\n' "$values" | while read -r _value; do
        ! dlfuse_fits "$kind" "$_value" || printf '%s\n' "$_value"
    done
}

# 0 if the last rd.dlfuse.debug that is right says so.
dlfuse_debugs() {
    case $(dlfuse_words) in *rd.dlfuse.debug*) ;; *) return 1 ;; esac
    [ "$(dlfuse_words | sed -nE 's/^rd\.dlfuse\.debug(=(1|yes|on)?)?$/1/p; s/^rd\.dlfuse\.debug=(0|no|off)$/0/p' | sed -n '$p')" = 1 ]
}

# dlfuse_fault WORD: prints the fault of this kernel argument, if it is meant for dlfuse; nothing when it is right.
dlfuse_fault() {
    local name kind value=''
    case $1 in
    rd.dlfuse.*) name=${1#rd.dlfuse.} ;;
    rd.dlfuse* | rd_dlfuse* | dlfuse.*) name= ;;
    *) return 0 ;;
    esac
    name=${name%%=*}
    kind=$(dlfuse_argument_kind "$name") || {
        printf '%s\n' "$1: there is no such argument: it has no effect; what follows rd.dlfuse. may be:$(dlfuse_argument_names)"
        return 0
    }
    case $1 in
    *=*) value=${1#*=} ;;
    *) [ "$kind" = flag ] || kind=missing ;;
    esac
    ! dlfuse_fits "$kind" "$value" || return 0
    [ "$kind" != missing ] || kind=$(dlfuse_argument_kind "$name")
    case $kind in
    serial | digest) printf '%s\n' "$1: the value must be $(dlfuse_wants "$kind"): nothing is booted with it" ;;
    *) printf '%s\n' "$1: the value must be $(dlfuse_wants "$kind"): it has no effect, dlfuse.cmdline(7) has the default" ;;
    esac
}

dlfuse_check_arguments() {
    local mark="$DLFUSE_STATE/arguments"
    [ ! -e "$mark" ] || return 0
    : >"$mark"
    dlfuse_words | while read -r _word; do
        case $_word in rd.dlfuse* | rd_dlfuse* | dlfuse.*) ;; *) continue ;; esac
        _fault=$(dlfuse_fault "$_word")
        [ -z "$_fault" ] || dlfuse_log 3 "$_fault"
    done
}
