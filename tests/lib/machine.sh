# shellcheck shell=bash
# A machine that commands of the documentation can be run on as they stand there, by cases with mounts of their own (in_own_mounts):
# the same programs, another state. Sourced after case.sh.
#
#   machine_make                 /etc and /usr can be written to, /srv and the servers' logs and leases are empty; nothing of it is seen
#                                from outside, and all of it is gone at the end
#   machine_run SECONDS FILE [COMMAND...]   runs a script in there, by COMMAND (nsenter ...): says what failed, and returns its status
#
# What would reach for the real machine, or for the network, is another program in there:
#   apt-get install    packages of files are unpacked; the others must be installed (tests/install-deps); mmdebstrap has the real one
#   systemctl          knows nginx and dnsmasq, and starts them as Debian's units do; what it does to a tree it does

MACHINE=$TMP/machine

machine_make() {
    local dir
    mkdir "$MACHINE" "$TMP/srv" "$TMP/bin"
    mount -t tmpfs -o mode=755 tmpfs "$MACHINE"
    on_exit umount -l "$MACHINE"
    for dir in etc usr; do
        mkdir "$MACHINE/$dir" "$MACHINE/$dir.work"
        mount -t overlay -o "lowerdir=/$dir,upperdir=$MACHINE/$dir,workdir=$MACHINE/$dir.work" overlay "/$dir" ||
            skip "an overlay of /$dir cannot be mounted"
        on_exit umount -l "/$dir"
    done
    mount --bind "$TMP/srv" /srv
    on_exit umount -l /srv
    mkdir -p /etc/dnsmasq.d
    for dir in /etc/dnsmasq.d /var/log/nginx /var/lib/misc; do
        mount -t tmpfs -o mode=755 tmpfs "$dir"
        on_exit umount -l "$dir"
    done
    sed -i "s|^pid .*|pid $TMP/nginx.pid;|" /etc/nginx/nginx.conf
    machine_programs
    on_exit machine_stop
}

machine_programs() {
    # shellcheck disable=SC2016 # the program's
    {
        printf '#!/bin/bash\nset -euo pipefail\nTMP=%q\n' "$TMP" | tee "$TMP/bin/systemctl"
        cat <<'END'
# mmdebstrap's, which are about a tree of its own.
{ [ "$1" != --version ] && [ -z "${APT_CONFIG:-}" ]; } || exec /usr/bin/apt-get "$@"
[ "$1" = install ] || { echo "apt-get $1: not here" >&2; exit 1; }
for package in "${@:2}"; do
    case $package in
    *.deb)
        mkdir -p "$TMP/unpacked"
        dpkg-deb -x "$package" "$TMP/unpacked"
        cp -a "$TMP/unpacked/usr" /
        ;;
    *)
        # Debian's servers are in packages of their own, without what starts them.
        [ "$package" != dnsmasq ] || package=dnsmasq-base
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package")" = installed ] || { echo "$package is not installed" >&2; exit 1; }
        ;;
    esac
done
END
    } >"$TMP/bin/apt-get"
    cat >>"$TMP/bin/systemctl" <<'END'
case $1 in --root=*) exec /usr/bin/systemctl "$@" ;; esac
if [ -s "$TMP/$2.pid" ]; then
    kill "$(cat "$TMP/$2.pid")"
    while kill -0 "$(cat "$TMP/$2.pid" 2>/dev/null)" 2>/dev/null; do sleep 0.05; done
fi
case "$*" in
"restart nginx") nginx ;;
"restart dnsmasq") dnsmasq --pid-file="$TMP/dnsmasq.pid" --user=dnsmasq --conf-dir=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new \
    --local-service --log-facility="$TMP/dnsmasq.log" ;;
*) echo "systemctl $*: not here" >&2 && exit 1 ;;
esac
END
    chmod 755 "$TMP/bin/apt-get" "$TMP/bin/systemctl"
    ln -s apt-get "$TMP/bin/apt"
}

machine_stop() {
    local server
    for server in nginx dnsmasq; do
        [ ! -s "$TMP/$server.pid" ] || end_process "$(cat "$TMP/$server.pid")"
    done
}

machine_run() {
    local seconds=$1 script=$2
    shift 2
    timeout "$seconds" "$@" env -u DLFUSE_BIN_DIR PATH="$TMP/bin:/usr/sbin:/usr/bin:/sbin:/bin" bash -euo pipefail -x "$script" \
        </dev/null >"$script.log" 2>&1 || {
        local status=$?
        tail -n 20 "$script.log"
        return "$status"
    }
}
