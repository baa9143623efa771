"""The tree: a root filesystem in a directory of the build host, and how files in it are written.

Links in the tree lead into the tree, as in a chroot: a path never ends up on the host. Where files have SELinux
labels, one that is changed keeps its own, and a new one gets its directory's, as the kernel would do it.
"""

import os
import shutil
import stat

from .run import Failure

LABEL = "security.selinux"


class Tree:
    """root: the directory. epoch: the time of every new file; the owner of the tree sets it."""

    def __init__(self, root):
        self.root = root
        self.epoch = None

    def newest(self, now):
        """(time, file) of the newest file that is not of the future: when the tree was built; and (time, file) of the
        newest file of the future, or (0, ""). A file of 2037 would set the clock of every node to that year."""
        built, future = (0, ""), (0, "")
        for directory, subdirectories, files in os.walk(self.root):
            for name in subdirectories + files:
                full = os.path.join(directory, name)
                found = int(os.lstat(full).st_mtime), full
                if found[0] > now:
                    future = max(future, found)
                else:
                    built = max(built, found)
        return built, future

    def resolve(self, path, follow=True):
        """The place of path on the host. follow: also when its last part is a link."""
        todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
        here = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del here[-1:]
                continue
            full = os.path.join(self.root, *here, part)
            if not os.path.islink(full) or not (todo or follow):
                here.append(part)
                continue
            links += 1
            if links > 40:
                raise Failure(f"{path} in the image leads through too many links")
            target = os.readlink(full)
            if target.startswith("/"):
                here = []
            todo.extend([one for one in target.split("/") if one not in ("", ".")][::-1])
        return os.path.join(self.root, *here)

    def exists(self, path):
        return os.path.exists(self.resolve(path))

    def read(self, path):
        """The file's lines, without their ends; none where there is no file."""
        try:
            with open(self.resolve(path), encoding="utf-8", errors="surrogateescape") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def write(self, path, content, mode=0o644, owner=(0, 0)):
        """Makes or replaces a file; an existing file keeps owner, mode and label. A link is replaced."""
        full = self.resolve(path, follow=False)
        self.mkdir(os.path.dirname(path))
        if os.path.lexists(full) and not stat.S_ISREG(os.lstat(full).st_mode):
            self.make_room(path)
        new = not os.path.lexists(full)
        with open(full, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(content)
        if new:
            self._finish(full, mode, owner)

    def copy_in(self, source, path, mode=0o644, owner=(0, 0)):
        """Copies a file of the host."""
        self.mkdir(os.path.dirname(path))
        self.make_room(path)
        full = self.resolve(path, follow=False)
        shutil.copyfile(source, full)
        self._finish(full, mode, owner)

    def mkdir(self, path, mode=0o755, owner=(0, 0)):
        """Makes the missing directories of path; existing ones stay as they are."""
        full = self.resolve(path)
        if os.path.isdir(full):
            return
        self.mkdir(os.path.dirname(path.rstrip("/")))
        full = self.resolve(path)
        os.mkdir(full)
        self._finish(full, mode, owner)

    def symlink(self, path, target):
        self.mkdir(os.path.dirname(path))
        self.make_room(path)
        full = self.resolve(path, follow=False)
        os.symlink(target, full)
        self.label(full)

    def make_room(self, path):
        """Removes a file, a link or an empty directory, which something other than a directory replaces. Fails for a
        directory with files in it."""
        full = self.resolve(path, follow=False)
        if os.path.isdir(full) and not os.path.islink(full) and os.listdir(full):
            raise Failure(f"{path} is a directory in the image, with files in it, and would be replaced; if that is meant, "
                          "name it in system.remove")
        self.remove(path)

    def remove(self, path):
        """Removes a file, link or directory with its content; does nothing where there is none."""
        full = self.resolve(path, follow=False)
        if os.path.isdir(full) and not os.path.islink(full):
            shutil.rmtree(full)
        elif os.path.lexists(full):
            os.unlink(full)

    def settle_times(self, started_ns):
        """Everything that is newer than the epoch, or was written by this run, gets the epoch's time."""
        limit = min(self.epoch * 10**9, started_ns - 1)
        for directory, _, names in os.walk(self.root, topdown=False):
            for name in [*names, *self._links(directory), ""]:
                full = os.path.join(directory, name) if name else directory
                if os.lstat(full).st_mtime_ns > limit:
                    os.utime(full, (self.epoch, self.epoch), follow_symlinks=False)

    @staticmethod
    def _links(directory):
        """os.walk has links to directories among the directories, and does not enter them."""
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_symlink()]

    def _finish(self, full, mode, owner):
        os.chown(full, *owner)
        os.chmod(full, mode)
        self.label(full)

    @staticmethod
    def label(full):
        """The label of the directory for a new entry in it."""
        try:
            label = os.getxattr(os.path.dirname(full), LABEL, follow_symlinks=False)
        except OSError:
            return
        try:
            os.setxattr(full, LABEL, label, follow_symlinks=False)
        except PermissionError:
            # A user namespace may not: unpacking the tree has said so already.
            pass
