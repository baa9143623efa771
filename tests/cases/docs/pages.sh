# shellcheck shell=bash
# What the pages of the documentation have for a reader to type. Sourced by the cases beside it.
#
#   page_lines FILE   the lines of its indented blocks, each command in one line and without the remark behind it
#   page_parts FILE PART...   what stands in the ```sh blocks of these parts ("## 2. The image" is 2), as it stands there
#   page_spans FILE   what stands between backquotes in its text, one a line

page_lines() {
    awk '/^```/ { fence = !fence } /^    / && !fence && (blank || inside) { inside = 1; print substr($0, 5); blank = 0; next }
        { inside = 0; blank = /^$/ }' "$1" | sed -e ':again' -e '/\\$/{ N; s/ *\\\n */ /; b again' -e '}' -e '/^#/d' -e 's/   *# .*//'
}

page_parts() {
    local file=$1
    shift
    awk -v parts=" $* " '/^## / { part = $2 + 0 }
        /^```sh$/ { inside = 1; next }
        /^```$/ { inside = 0; next }
        inside && index(parts, " " part " ")' "$file"
}

# A span may go on in the next line.
page_spans() {
    awk '/^```/ { fence = !fence; next } fence || /^    / { print ""; next } /^$/ { print ""; next } { printf "%s ", $0 }' "$1" |
        grep -oE $'\x60[^\x60]+\x60' | tr -d '`' | sed 's/\\|/|/g' | sort -u
}
