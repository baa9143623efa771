"""Files and directories that a run makes for itself, in places that stay: the output directory, the kept tarball's.

A run removes its own at its end, and a killed one cannot: the next run in that place does it. A name is in use as long as a
process holds its lock, the run itself or a program that it has started, which inherits the lock. Names are made and looked
through with the place locked, so that none is seen before it has its lock. Where a directory cannot be locked, as on NFS,
nothing is removed.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import subprocess
import tempfile

from . import run as running
from .run import Failure, in_namespace, say


# The first descriptor that is a lock.
LOCKS_FROM = 100
# The suffix that mkdtemp and mkstemp put behind a prefix.
RANDOM_PART = "[a-z0-9_]{8}"


def make_directory(place):
    """A directory in place, after old ones are removed."""
    with locked(place) as is_locked:
        if is_locked:
            sweep(place, ".mkroot.")
        path = tempfile.mkdtemp(prefix=".mkroot.", dir=place)
        hold(path)
    return path


def make_file(target):
    """An empty file beside target, after old ones are removed. In the run's own directory there are none, and its lock is
    taken."""
    place, name = os.path.split(target)
    place = place or "."
    try:
        with contextlib.nullcontext(False) if place == running.work else locked(place) as is_locked:
            if is_locked:
                sweep(place, f".{name}.mkroot.")
            handle, path = tempfile.mkstemp(prefix=f".{name}.mkroot.", dir=place)
            os.close(handle)
            hold(path)
    except OSError as error:
        raise Failure(f"cannot write beside {target}: {error.strerror}") from None
    return path


def open_to_lock(path):
    """Opens for writing, because NFS locks only such files. A directory cannot be opened so."""
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return os.open(path, (os.O_RDWR if stat.S_ISREG(mode) else os.O_RDONLY) | os.O_NOFOLLOW | os.O_NONBLOCK)


def hold(path):
    """Locks path, where that is possible."""
    opened = open_to_lock(path)
    # Out of the way: mmdebstrap tells a shell the number of one of its own, and dash knows only those below 10.
    descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, LOCKS_FROM)
    os.close(opened)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return
    running.locks.append(descriptor)


@contextlib.contextmanager
def locked(place):
    """Yields whether place is locked."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            is_locked = True
        except OSError:
            is_locked = False
        yield is_locked
    finally:
        os.close(descriptor)


def sweep(place, prefix):
    """Removes the files and directories that killed runs have left in place under such names."""
    for name in sorted(os.listdir(place)):
        path = os.path.join(place, name)
        if not re.fullmatch(re.escape(prefix) + RANDOM_PART, name) or not is_left(path):
            continue
        say(f"removing {path}, which a run that was killed has left")
        if has_mounts(path) or not remove(path):
            say(f"{path} cannot be removed: see if something is mounted there")


def is_left(path):
    """A file or directory of this user, which no process holds. One that cannot be locked may be in use."""
    try:
        descriptor = open_to_lock(path)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def has_mounts(path):
    """Mounts of any file system count: rm enters a directory of its own file system that is mounted there."""
    below = os.path.realpath(path).replace("\\", "\\134").replace(" ", "\\040") + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return any(f"{line.split()[4]}/".startswith(below) for line in mounts)


def remove(path):
    """Removes path; returns whether it is gone. Not as root its files may be other users' of this one's namespace."""
    others = ["unshare", "--user", "--map-root-user", "--map-auto"] if os.getuid() != 0 and not in_namespace() else []
    subprocess.run([*others, "rm", "-rf", "--one-file-system", "--", path], check=False, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return not os.path.lexists(path)
