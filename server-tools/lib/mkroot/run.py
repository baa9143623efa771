"""Running other programs: quietly, with what they say kept for when they fail; on the host and inside the tree."""

import os
import shutil
import signal
import subprocess
import sys

PROG = "dlfuse-mkroot"
# In the environment of the run in a user namespace: the work directory.
NAMESPACE = "DLFUSE_MKROOT_WORK"
quiet = False
# The directory in which everything is made, once there is one.
work = None
# Descriptors whose locks say that something is in use; programs that a run starts hold them too (scratch.py).
locks = []
# The signals that dlfuse-mkroot takes for the wish that it ends.
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# For what a program has to put away when it is asked to end.
END_SECONDS = 30
FULL_BYTES = 1 << 20
# Some programs write pieces that are larger than what is left. An image of its own size may be full as well: then there is more.
FULL_FOR_PIECES_BYTES = 64 << 20
# What apt says about it is all there is to say.
CLEAR_ERRORS = ("E: Failed to fetch ", "E: Unable to locate package ")


class Failure(Exception):
    """One line for the user: what failed, and what to do. The program ends with status 1."""


class Crash(Failure):
    """A program ended by a signal that is its own fault, SIGSEGV and the like."""


def in_namespace():
    return NAMESPACE in os.environ


def say(text):
    if not quiet:
        print(f"{PROG}: {text}", file=sys.stderr, flush=True)


def need(program, package):
    if shutil.which(program) is None:
        raise Failure(f"{program} is not installed; apt-get install {package}")


def disk_is_full(printed):
    if work is None:
        return False
    room = os.statvfs(work)
    room_bytes = room.f_bavail * room.f_frsize
    return room_bytes < FULL_BYTES or (room_bytes < FULL_FOR_PIECES_BYTES and "No space left on device" in printed)


def end(child):
    """Ends child's group. mmdebstrap has mounts on this machine, and takes them away when it is asked to end; killed, it could not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return
        try:
            child.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            pass


def run(argv, why, env=None):
    """Runs argv; returns what it printed. Fails with the line why, and with what it printed: behind that, or above
    it when it is more than a line."""
    # A signal that ends this program comes before the child is there, or when it can be ended; not in between.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        # In a group of its own, so that what it started ends with it.
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 env=env, errors="replace", process_group=0, pass_fds=locks,
                                 preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask))
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        printed = child.communicate()[0]
    except BaseException:
        end(child)
        raise
    if child.returncode == 0:
        return printed
    if disk_is_full(printed):
        raise Failure(f"{why.partition(':')[0]}: no space left on the disk of {os.path.dirname(work)}")
    lines = [line for line in printed.splitlines() if line.strip()]
    if -child.returncode in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE):
        print(*lines[-20:], sep="\n", end="\n" if lines else "", file=sys.stderr)
        raise Crash(f"{why}: {argv[0]} crashed ({signal.Signals(-child.returncode).name})")
    if not lines:
        raise Failure(f"{why} (status {child.returncode})")
    if len(lines) == 1:
        raise Failure(f"{why}: {lines[0].strip()}")
    for line in lines:
        if line.startswith(CLEAR_ERRORS):
            raise Failure(f"{why}: {line[3:].strip()}")
    for line in lines[-20:]:
        print(line, file=sys.stderr)
    raise Failure(f"{why}: the lines above say why")


# $1: the tree, $2: a program that goes along, as /tmp/hook. In a user namespace there is no new proc and sysfs to
# be had: those of the host do. All mounts are in a namespace that ends with the program.
INSIDE = """
mount --make-rprivate /
mount -t proc proc "$1/proc" 2>/dev/null || mount --rbind /proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys" 2>/dev/null || mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
[ -z "$2" ] || install -m 0755 "$2" "$1/tmp/hook"
tree=$1
shift 2
exec chroot "$tree" "$@"
"""


def run_inside(tree, argv, why, program=None):
    """Runs argv with the tree as its root directory. program: a file of the host, there as /tmp/hook."""
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C",
           "DEBIAN_FRONTEND": "noninteractive", "SOURCE_DATE_EPOCH": os.environ["SOURCE_DATE_EPOCH"]}
    return run(["unshare", "--mount", "sh", "-euc", INSIDE, "sh", tree, program or "", *argv], why, env)
