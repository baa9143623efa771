"""Running other programs: quietly, with their output kept for a failure; on the host and inside the tree."""

import os
import shutil
import signal
import subprocess
import sys

PROG = "dlfuse-mkroot"
# In the environment of the run in a user namespace: the work directory.
NAMESPACE = "DLFUSE_MKROOT_WORK"
quiet = False
# The directory in which everything is made, once it exists.
work = None
# Descriptors with locks that mark files and directories as in use; programs that a run starts hold them too (scratch.py).
locks = []
# The signals that ask dlfuse-mkroot to end.
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# The time for a program's clean-up after it is asked to end.
END_SECONDS = 30
FULL_BYTES = 1 << 20
# Some programs write pieces that are larger than the space left. An image of its own size may be full as well: then there is
# more.
FULL_FOR_PIECES_BYTES = 64 << 20
# apt's line about these is complete.
CLEAR_ERRORS = ("E: Failed to fetch ", "E: Unable to locate package ")


class Failure(Exception):
    """One line for the user: the failure, and the next step. The program ends with status 1."""


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
    """Ends child's group. mmdebstrap has mounts on this machine, which it removes when it is asked to end; killed, it
    could not."""
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
    """Runs argv; returns its output. Fails with the line why, and with the output: one line of it comes behind why,
    several come above it."""
    # A signal that ends this program arrives before the child exists, or when it can be ended; not in between.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        # In a group of its own, so that all its children end with it.
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


# $1: the tree, $2: a program that goes along, as /tmp/hook. A user namespace cannot mount a new proc and sysfs: the host's are
# used. All mounts are in a namespace that ends with the program.
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
