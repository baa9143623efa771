"""The files that dlfuse-pxe owns: which of them are to be written, replaced, removed or left alone, and doing it.

A file is ours as long as the digest in its header line is that of the rest of it: a file that an administrator has edited, or
that another program has written, is never touched. A list of the written files, .dlfuse-pxe in the directory, says where to look
for files that the inventory no longer wants; a name in that list gives no right to a file, only the file's own header does.

New contents are complete on the disk before the first of them gets its name. One process at a time writes a directory. A
new content waits beside its place as .NAME.dlfuse-pxe: a run that is killed leaves those, and the next one uses the same names.
"""

import difflib
import errno
import fcntl
import hashlib
import os
import re
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

STATE = ".dlfuse-pxe"
HEADER = re.compile(r"# dlfuse-pxe ([0-9a-f]{64}) .*\n")
# A foreign file in the place of one of ours may be anything, but is read only if it is about as large.
READ_LIMIT = 16 << 20
# Each fsync commits the journal: with 10,000 machines that took two minutes. Above this many files one syncfs does it, which
# also waits for other programs' writes to that file system.
FSYNC_FILES = 64


class Failed(Exception):
    """Nothing was changed, or the text lists the changes; it is for the operator."""


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def seal(text, inventory):
    """The text with its header line: the first one, but behind a #!."""
    header = f"# dlfuse-pxe {digest(text)} written from {inventory}: change it there\n"
    first, newline, rest = text.partition("\n")
    return f"{first}{newline}{header}{rest}" if text.startswith("#!") else header + text


def is_sealed(text):
    """None without a header; else whether the text is as it was written."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines[:2]):
        if match := HEADER.fullmatch(line):
            return digest("".join(lines[:number] + lines[number + 1 :])) == match[1]
    return None


@dataclass
class Change:
    """The action for one file: write, remove, or keep; keep says why."""

    action: str
    path: Path
    old: str = ""
    new: str = ""
    why: str = ""


def look(path):
    """(state, text) of a path: absent, ours, edited, foreign."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > READ_LIMIT:
                return "foreign", ""
            text = file.read().decode()
    except FileNotFoundError:
        return "absent", ""
    except UnicodeDecodeError:
        return "foreign", ""
    except OSError as error:
        # A link, a directory, a socket.
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            return "foreign", ""
        raise Failed(f"{path} cannot be read: {error.strerror}") from None
    sealed = is_sealed(text)
    return ("foreign" if sealed is None else "ours" if sealed else "edited"), text


def make_durable(names):
    """The contents of these files are on the disk when this returns."""
    if len(names) <= FSYNC_FILES:
        for name in names:
            descriptor = os.open(name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return
    systems = {os.stat(directory).st_dev: directory for directory in {os.path.dirname(name) for name in names}}
    done = subprocess.run(["sync", "--file-system", *systems.values()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise OSError(errno.EIO, f"sync fails: {done.stdout.decode(errors='replace').strip()}")


WHY = {
    "edited": "was edited since dlfuse-pxe wrote it; left alone. Remove it to have it written again",
    "foreign": "was not written by dlfuse-pxe; left alone. Move it away to have it written",
}


class Tree:
    """The files of one inventory. files: path -> text without its header."""

    def __init__(self, directory, inventory, files):
        self.directory = Path(directory)
        self.inventory = Path(inventory)
        self.files = {self.directory / name: seal(text, inventory) for name, text in files.items()}
        self.state = self.directory / STATE
        if not self.directory.is_dir():
            raise Failed(f"the directory {self.directory} is not there")

    def listed(self):
        """The files that earlier runs have written."""
        try:
            lines = self.state.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise Failed(f"{self.state} cannot be read: {error}") from None
        owner = next((line[len("inventory ") :] for line in lines if line.startswith("inventory ")), None)
        if owner != str(self.inventory):
            raise Failed(
                f"{self.directory} is written from {owner}, not from {self.inventory}; if that has moved, remove {self.state}"
            )
        return [self.directory / line[len("file ") :] for line in lines if line.startswith("file ")]

    def plan(self):
        """The changes that are due, in the order of their names."""
        changes = []
        for path, text in self.files.items():
            state, old = look(path)
            if state in WHY:
                changes.append(Change("keep", path, why=WHY[state]))
            elif old != text:
                changes.append(Change("write", path, old, text))
        for path in self.listed():
            if path in self.files:
                continue
            state, old = look(path)
            if state == "ours":
                changes.append(Change("remove", path, old))
            elif state == "edited":
                changes.append(Change("keep", path, why="is not in the inventory any more, but was edited; left alone"))
        return sorted(changes, key=lambda change: change.path)

    def apply(self):
        """Makes the changes and returns them."""
        lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            changes = self.plan()
            kept = {change.path for change in changes if change.action == "keep"}
            gone = {change.path for change in changes if change.action == "remove"}
            wanted = (set(self.files) - kept) | (set(self.listed()) & kept)
            staged = self.stage([change for change in changes if change.action == "write"])
            try:
                # Until everything is done the list has both, so that it names every file that an interrupted run leaves.
                self.write_state(wanted | gone)
                while staged:
                    change, name = staged[-1]
                    os.replace(name, change.path)
                    staged.pop()
                for path in gone:
                    path.unlink()
                self.write_state(wanted)
            except OSError as error:
                where = error.filename2 or error.filename or self.state
                raise Failed(f"{where} cannot be changed: {error.strerror}; run it again") from None
            finally:
                self.discard(staged)
        finally:
            os.close(lock)
        return changes

    def stage(self, changes):
        """Writes each new content to a file beside its place, as (change, name), in the order in which they are to be
        popped."""
        staged = []
        umask = os.umask(0o022)
        try:
            for change in reversed(changes):
                name = self.beside(change.path)
                staged.append((change, name))
                try:
                    self.write_new(name, change.new)
                except FileNotFoundError:
                    if not name.startswith(f"{self.directory}/"):
                        raise
                    os.makedirs(os.path.dirname(name), exist_ok=True)
                    self.write_new(name, change.new)
            make_durable([name for _, name in staged])
        except OSError as error:
            self.discard(staged)
            raise Failed(f"{change.path} cannot be written: {error.strerror}; nothing was changed") from None
        except BaseException:
            self.discard(staged)
            raise
        finally:
            os.umask(umask)
        return staged

    @staticmethod
    def beside(path):
        directory, name = os.path.split(path)
        return os.path.join(directory, f".{name}.dlfuse-pxe")

    @staticmethod
    def write_new(name, text):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        with open(descriptor, "wb") as file:
            file.write(text.encode())

    @staticmethod
    def discard(staged):
        for _, name in staged:
            try:
                os.unlink(name)
            except FileNotFoundError:
                pass

    def write_state(self, paths):
        below = f"{self.directory}/"
        names = sorted(str(path).removeprefix(below) for path in paths)
        text = "".join([f"inventory {self.inventory}\n", *(f"file {name}\n" for name in names)])
        if not self.state.exists() or self.state.read_text(encoding="utf-8") != text:
            new = self.beside(self.state)
            self.write_new(new, text)
            make_durable([new])
            os.replace(new, self.state)


def difference(change):
    """A unified diff of one change."""
    old = f"{change.path}" if change.old else "/dev/null"
    new = f"{change.path}" if change.new else "/dev/null"
    return "".join(
        difflib.unified_diff(change.old.splitlines(keepends=True), change.new.splitlines(keepends=True), old, new)
    )
