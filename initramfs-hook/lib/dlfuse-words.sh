# shellcheck shell=sh
# dlfuse-words.sh: kernel arguments for dlfuse-lib.sh, out of a line that the front has read. Sourced by fronts, behind the library.
#
#   dlfuse_set_words LINE   from now on these are the arguments. Double quotes keep blanks together and fall away, as in the kernel
#                           (next_arg in lib/cmdline.c)
#   dlfuse_words, dlfuse_arg, dlfuse_args, dlfuse_flag   as dlfuse-lib.sh has them
#
# None of this starts a program: a boot asks some sixty times, and each program costs it a millisecond.

DLFUSE_NEWLINE='
'
DLFUSE_BLANK=" 	$DLFUSE_NEWLINE"

# 0 when TEXT has an open quote.
dlfuse_is_open() {
    local rest="$1" closed=1
    while case $rest in *\"*) ;; *) false ;; esac do
        rest=${rest#*\"}
        closed=$((1 - closed))
    done
    return $closed
}

# dlfuse_unquote WORD: sets word to it, without the quotes around all of it or around its value.
dlfuse_unquote() {
    word=$1
    case $1 in
    \"*) word=${1#\"} && word=${word%\"} ;;
    *=\"*)
        word=${1#*=\"}
        word=${1%%=*}=${word%\"}
        ;;
    esac
}

# DLFUSE_WORDS has a newline before each argument and behind the last one.
dlfuse_set_words() {
    local rest="$1" word piece
    DLFUSE_WORDS=$DLFUSE_NEWLINE
    while rest=${rest#"${rest%%[!"$DLFUSE_BLANK"]*}"} && [ -n "$rest" ]; do
        word=${rest%%["$DLFUSE_BLANK"]*}
        rest=${rest#"$word"}
        while dlfuse_is_open "$word" && [ -n "$rest" ]; do
            rest=${rest#?}
            piece=${rest%%["$DLFUSE_BLANK"]*}
            rest=${rest#"$piece"}
            word="$word $piece"
        done
        dlfuse_unquote "$word"
        DLFUSE_WORDS=$DLFUSE_WORDS$word$DLFUSE_NEWLINE
    done
}

dlfuse_words() {
    local words="${DLFUSE_WORDS#?}"
    printf '%s' "$words"
}

dlfuse_arg() {
    local value
    case $DLFUSE_WORDS in *"$DLFUSE_NEWLINE$1="*) ;; *) return 1 ;; esac
    value=${DLFUSE_WORDS##*"$DLFUSE_NEWLINE$1="}
    printf '%s\n' "${value%%"$DLFUSE_NEWLINE"*}"
}

dlfuse_args() {
    local rest="$DLFUSE_WORDS"
    while case $rest in *"$DLFUSE_NEWLINE$1="*) ;; *) false ;; esac do
        rest=${rest#*"$DLFUSE_NEWLINE$1="}
        printf '%s\n' "${rest%%"$DLFUSE_NEWLINE"*}"
        rest=$DLFUSE_NEWLINE${rest#*"$DLFUSE_NEWLINE"}
    done
}

# The last one counts.
dlfuse_flag() {
    local rest="${DLFUSE_WORDS#?}" answer=1
    while [ -n "$rest" ]; do
        case ${rest%%"$DLFUSE_NEWLINE"*} in
        "$1=0" | "$1=no" | "$1=off") answer=1 ;;
        "$1" | "$1="*) answer=0 ;;
        esac
        rest=${rest#*"$DLFUSE_NEWLINE"}
    done
    return $answer
}
