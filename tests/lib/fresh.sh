# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# A Debian on its first day, for commands that a new user is told to type: Debian's smallest set of packages, its own apt-get, and
# nothing of this machine but kernel, devices and network. Sourced after case.sh.
#
#   fresh_tree RELEASE DIRECTORY            $FRESH: its root, $FRESH_AT: the directory in there where commands are typed. As mmdebstrap made
#                                           it, it is kept in $DLFUSE_CACHE
#   fresh_mount                             makes it a system, for tests with mounts of their own (in_own_mounts). Packages that apt-get
#                                           downloads are kept in $DLFUSE_CACHE/apt
#   fresh_run SECONDS FILE [COMMAND...]     runs a script in there, by COMMAND (nsenter ...): prints the failure, and returns its status
#   fresh_servers                           from here on "systemctl restart" of nginx and dnsmasq works in there
#
# No systemd runs in it, so that packages do not start their services. Debian's own init scripts start the servers.

FRESH=$TMP/fresh

fresh_tree() {
    local release=$1 tarball=$DLFUSE_CACHE/fresh-$1.tar
    FRESH_AT=$2
    FRESH_APT=$DLFUSE_CACHE/apt/$release
    require mmdebstrap
    mkdir -p "$FRESH" "$DLFUSE_CACHE"
    if [ ! -s "$tarball" ]; then
        mmdebstrap --quiet --variant=minbase --format=tar "$release" "$tarball.new" >"$TMP/mmdebstrap.log" 2>&1 || {
            tail -n 20 "$TMP/mmdebstrap.log"
            die "mmdebstrap failed"
        }
        mv "$tarball.new" "$tarball"
    fi
    tar -C "$FRESH" -x --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' -f "$tarball" ||
        die "$tarball cannot be unpacked"
    cp -L /etc/resolv.conf "$FRESH/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$FRESH/usr/sbin/policy-rc.d"
    chmod 755 "$FRESH/usr/sbin/policy-rc.d"
    # A user would be asked, and say yes. A power cut does not matter to this tree, and no user reads manuals in it.
    echo 'APT::Get::Assume-Yes "true";' >"$FRESH/etc/apt/apt.conf.d/90test"
    printf '%s\n' force-unsafe-io path-exclude=/usr/share/{doc,man,locale}/'*' >"$FRESH/etc/dpkg/dpkg.cfg.d/test"
    mkdir -p "$FRESH$FRESH_AT"
}

fresh_mount() {
    local dir
    mkdir -p "$FRESH_APT/lists/partial" "$FRESH_APT/archives/partial"
    # The root of a system is a mount, and programs that make it private rely on that.
    mount --bind "$FRESH" "$FRESH"
    on_exit umount -l "$FRESH"
    mount -t proc proc "$FRESH/proc"
    for dir in dev sys; do
        mount --rbind "/$dir" "$FRESH/$dir"
    done
    # As in Debian, even if this machine differs.
    mount -t cgroup2 cgroup2 "$FRESH/sys/fs/cgroup"
    for dir in lists:var/lib/apt/lists archives:var/cache/apt/archives; do
        mount --bind "$FRESH_APT/${dir%%:*}" "$FRESH/${dir#*:}"
    done
}

fresh_run() {
    local seconds=$1 script=$2
    shift 2
    cp "$script" "$FRESH/root/script"
    # shellcheck disable=SC2016 # the inner shell's
    timeout "$seconds" "$@" env -i HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$FRESH" bash -euo pipefail -c 'cd "$0" && set -x && . /root/script' "$FRESH_AT" </dev/null >"$script.log" 2>&1 || {
        local status=$?
        tail -n 20 "$script.log"
        return "$status"
    }
}

fresh_servers() {
    cat >"$FRESH/usr/local/sbin/systemctl" <<'END'
#!/bin/sh
case $* in
"restart nginx" | "restart dnsmasq") exec "/etc/init.d/$2" restart ;;
*) exec /usr/bin/systemctl "$@" ;;
esac
END
    chmod 755 "$FRESH/usr/local/sbin/systemctl"
    on_exit fresh_stop
}

fresh_stop() {
    local file
    for file in "$FRESH/run/nginx.pid" "$FRESH/run/dnsmasq/dnsmasq.pid"; do
        [ ! -s "$file" ] || end_process "$(cat "$file")"
    done
}
