# shellcheck shell=sh
# dlfuse-ready.sh: runs in the booted system, by dlfuse-ready.service, when its default target is reached.
#
# Tells the node so. Then it reads once the files that the shutdown of this machine needs, for servers may go away before
# all of the image is here. These are the code of init, which no signal ends while it waits for a page of it; the code of
# init's last program, which locks itself and its libraries into memory; and the units on the way. The programs that stop
# services are left out: systemd ends the hanging ones, and a boot profile knows them.

MOUNT=/run/dlfuse/mnt
UNITS="poweroff.target reboot.target systemd-poweroff.service systemd-reboot.service"

is_complete() {
    while read -r key value; do
        [ "$key $value" != '"complete": true,' ] || return 0
    done <$MOUNT/status.json
    return 1
}

# The machines of a fleet become ready together.
pause() {
    read -r uuid </proc/sys/kernel/random/uuid
    sleep $((0x${uuid%%-*} % 10))
}

echo ready >$MOUNT/control
pause
# Handed over, or nearly so.
[ -e $MOUNT/control ] || exit 0
! is_complete || exit 0

last=
while read -r _ _ _ _ _ file; do
    case $file in
    "$last") ;;
    /*) cat "$file" && last=$file ;;
    esac
done </proc/1/maps >/dev/null 2>&1
for directory in /usr/lib/systemd /lib/systemd; do
    [ ! -x $directory/systemd-shutdown ] || break
done
cat "$directory/systemd-shutdown" "$directory"/system-shutdown/* >/dev/null 2>&1
# The programs that request a shutdown: the command, by its names, and the button.
cat /sbin/poweroff /sbin/reboot "$(command -v systemctl)" "$directory/systemd-logind" >/dev/null 2>&1
# shellcheck disable=SC2086 # several
systemctl show --property=Id $UNITS >/dev/null 2>&1
exit 0
