"""The entry of a pxelinux configuration that starts without a key press.

Three readers share the format, and each has a say in which entry that is:

  the core     boots DEFAULT (a label, or a kernel with its arguments) at once. With PROMPT 1 it asks, and boots ONTIMEOUT, or
               else DEFAULT, when the time is over.
  menu.c32     UI or DEFAULT starts it. It boots ONTIMEOUT, or else the entry of DEFAULT, of MENU DEFAULT, or the first one.
               Files that stand behind its name take the place of this one.
  both         read files in the place of INCLUDE and MENU INCLUDE. Names are relative to the directory of pxelinux.0.

Nothing here is written, and nothing but regular files is read: a FIFO in the directory would never end.
"""

import os
import re
import stat
from dataclasses import dataclass, field

FILE_BYTES = 1 << 20
FILES = 64
KERNELS = ("linux", "kernel", "boot", "bss", "pxe", "fdimage", "com32", "comboot", "config", "localboot")
MENU = re.compile(r"(?:.*/)?(?:vesa)?menu\.c32")
NO_LINUX = re.compile(r"(?:.*/)?(?:memdisk|[^/]*\.(?:c32|0|com|cbt|bin|bs|bss|efi|lkrn))", re.IGNORECASE)


@dataclass
class Entry:
    """An entry that a machine boots. problems: the files that could not be read on the way to it."""

    kernel: str
    initrds: list
    append: list
    problems: list = field(default_factory=list)


@dataclass
class Label:
    name: str
    submenu: bool
    kind: str = ""
    kernel: str = ""
    append: str | None = None
    initrd: str = ""


def read(path):
    """The text of a file; ValueError where it cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("is no regular file")
            if status.st_size > FILE_BYTES:
                raise ValueError("is too large for a configuration")
            data = file.read(FILE_BYTES)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    # pxelinux reads bytes: a comment in Latin-1 does no harm.
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


class Configuration:
    """All statements of a file and of the files that it includes. root: the directory of pxelinux.0."""

    def __init__(self, root):
        self.root = root
        self.labels = {}
        self.common = Label("", False)
        self.words = {}  # default, ontimeout, ui, prompt
        self.menu_default = ""
        self.problems = []
        self.files = 0
        self.label = self.common
        self.depth = 0

    def parse(self, text):
        helps = False
        for line in text.splitlines():
            keyword, value = (line.split(None, 1) + ["", ""])[:2]
            keyword, value = keyword.lower(), value.strip()
            if helps:
                helps = keyword != "endtext"
            elif keyword == "text":
                helps = value.lower().startswith("help")
            elif keyword == "menu":
                self.parse_menu(value)
            elif keyword == "include":
                self.include(value)
            elif keyword == "label":
                self.label = Label(value, self.depth > 0)
                self.labels[value] = self.label
            elif keyword in KERNELS:
                self.label.kind, self.label.kernel = keyword, value
            elif keyword in ("append", "initrd"):
                setattr(self.label, keyword, value)
            elif keyword in ("default", "ontimeout", "ui", "prompt"):
                self.words[keyword] = value

    def parse_menu(self, value):
        keyword, value = (value.split(None, 1) + ["", ""])[:2]
        keyword = keyword.lower()
        if keyword == "include":
            self.include(value)
        elif keyword == "begin":
            self.depth += 1
            self.label = self.common
        elif keyword == "end":
            self.depth = max(self.depth - 1, 0)
            self.label = self.common
        elif keyword == "default" and self.label.name and not self.label.submenu:
            self.menu_default = self.label.name

    def include(self, value):
        """INCLUDE FILE [TAG]. A file that pxelinux could not read either is left out by both."""
        name = value.split()[0] if value.split() else ""
        self.files += 1
        if self.files > FILES:
            if self.files == FILES + 1:
                self.problems.append(f"INCLUDE {name}: more than {FILES} files; does one include itself?")
            return
        try:
            if not name or "://" in name or ".." in name.split("/"):
                raise ValueError("is no file below the directory of pxelinux.0")
            text = read(os.path.join(self.root, name.removeprefix("::").lstrip("/")))
        except ValueError as error:
            self.problems.append(f"INCLUDE {name} {error}")
            return
        self.parse(text)

    def command(self, text):
        """The label that a command line names with its own arguments, or the kernel that it names with an initrd."""
        name, arguments = (text.split(None, 1) + ["", ""])[:2]
        if label := self.labels.get(text) or self.labels.get(name):
            append = self.common.append if label.append is None else label.append
            append = "" if append is None or append == "-" else append
            return label.kind, label.kernel, label.initrd or self.common.initrd, f"{append} {arguments if label.name == name else ''}"
        if "initrd=" in arguments:
            return "kernel", name, self.common.initrd, f"{self.common.append or ''} {arguments}"
        return None

    def menu(self):
        """The command line of menu.c32; None where the core boots or asks by itself."""
        ui = self.words.get("ui", "")
        default = self.words.get("default", "")
        text = ui or default
        return text if text and MENU.fullmatch(text.split()[0].lower()) else None

    def chosen(self):
        default = self.words.get("default", "")
        asks = self.menu() is not None or "ui" in self.words or not default or self.words.get("prompt", "0") != "0"
        first = next((label.name for label in self.labels.values() if not label.submenu), "")
        first = first or next(iter(self.labels), "")
        for text in (self.words.get("ontimeout", "") if asks else "", default, self.menu_default, first):
            if text and (found := self.command(text)):
                return found
        # Without labels: the whole file is one entry.
        return self.common.kind, self.common.kernel, self.common.initrd, self.common.append or ""


def initrds_of(initrd, append):
    named = initrd or next((word.partition("=")[2] for word in append if word.startswith("initrd=")), "")
    return [name for name in named.split(",") if name]


def entry_of(path, root):
    """The Entry of the configuration at path; ValueError where it boots no Linux with an initramfs, or nothing by itself."""
    configuration = Configuration(root)
    configuration.parse(read(path))
    menu = (configuration.menu() or "").split()
    files = [name for name in menu[1:] if name != "~"]
    if files:
        # No keyword of this file counts for a menu that reads other files.
        problems, configuration = configuration.problems, Configuration(root)
        configuration.problems = problems
        for name in files:
            configuration.include(name)
    kind, kernel, initrd, append = configuration.chosen()
    words = append.split()
    initrds = initrds_of(initrd, words)
    if not all(word.isprintable() for word in [kernel, *initrds, *words]):
        raise ValueError("has characters that are no text")
    reasons = "".join(f"; {problem}" for problem in configuration.problems)
    if kind == "localboot":
        raise ValueError(f"boots the local disk without asking{reasons}")
    if kind == "config" or MENU.fullmatch(kernel.lower()):
        raise ValueError(f"goes on with another configuration: {words[0] if words else kernel}{reasons}")
    if not kernel:
        raise ValueError(f"has no entry with a kernel that is booted without asking{reasons}")
    if kind != "linux" and NO_LINUX.fullmatch(kernel):
        raise ValueError(f"boots {kernel}, which is no Linux kernel{reasons}")
    if not initrds:
        raise ValueError(f"has no initrd{reasons}")
    return Entry(kernel, initrds, [word for word in words if not word.startswith("initrd=")], configuration.problems)
