# shellcheck shell=bash
# release.sh: the default release of Debian, as in dlfuse-mkroot (lib/mkroot/conf.py).
#
#   host_release    prints this machine's, and on a machine that is no Debian the stable one

host_release() (
    ID='' VERSION_CODENAME=''
    # shellcheck source=/dev/null
    . /etc/os-release 2>/dev/null || true
    if [ "$ID" = debian ] && [ -n "$VERSION_CODENAME" ]; then
        echo "$VERSION_CODENAME"
    else
        echo trixie
    fi
)
