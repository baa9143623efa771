# shellcheck shell=bash
# Sourced by the checks: goes to the top of the sources and lists tracked files.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The tree may belong to somebody else than who runs the tests.
git_here() {
    git -c safe.directory='*' "$@"
}

if ! git_here rev-parse --git-dir >/dev/null 2>&1; then
    echo "not a git checkout: the tracked files cannot be listed, skipped" >&2
    exit 77
fi

# need PROGRAM: a check without its program is a skip.
need() {
    if ! command -v "$1" >/dev/null; then
        echo "$1 is not installed (tests/install-deps installs it), skipped" >&2
        exit 77
    fi
}

# tracked PATTERN...: tracked files that exist here, one a line.
# shellcheck disable=SC2120 # its users are in other files
tracked() {
    local file
    git_here ls-files -- "$@" | while IFS= read -r file; do
        if [[ -f $file && ! -L $file ]]; then
            printf '%s\n' "$file"
        fi
    done
}

# Shell scripts: a shell in the first line, of the system or, where a file is only sourced, of shellcheck; or a name that ends in .sh.
shell_scripts() {
    local file first
    tracked . | while IFS= read -r file; do
        case $file in
        */golden/* | */corpus/*) continue ;;
        esac
        first=''
        IFS= read -r first <"$file" 2>/dev/null || true
        if [[ $file == *.sh || $first =~ ^'#!'.*[/\ ](ba|da|k)?sh([[:space:]]|$) || $first == '# shellcheck shell='* ]]; then
            printf '%s\n' "$file"
        fi
    done
}

# Programs and modules of Python: a python in the first line, or a name that ends in .py.
python_files() {
    local file first
    tracked . | while IFS= read -r file; do
        first=''
        IFS= read -r first <"$file" 2>/dev/null || true
        if [[ $file == *.py || $first =~ ^'#!'.*[/\ ]python3?([[:space:]]|$) ]]; then
            printf '%s\n' "$file"
        fi
    done
}
