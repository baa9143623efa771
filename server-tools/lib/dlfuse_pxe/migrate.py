"""Makes an inventory of an existing pxelinux.cfg directory, with a file or symlink for each machine.

Files that boot the same make one image and one group. Settings that cannot be taken over stay in the inventory as a comment, so that
the administrator sees them: also the names that pxelinux asks for and an inventory does not know, by UUID, by address, or by the
address of other hardware than Ethernet.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from .inventory import WORD, Reader, as_mac
from .syslinux import entry_of

MAC_FILE = re.compile(r"01((?:-[0-9a-fA-F]{2}){6})")
# pxelinux's other file names, and how they choose a machine.
OTHER_FILES = (
    (re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), "a UUID"),
    (re.compile(r"[0-9a-fA-F]{2}(?:-[0-9a-fA-F]{2})+"), "a hardware address that is not Ethernet's"),
    (re.compile(r"[0-9A-F]{1,8}"), "an IP address"),
)
# Arguments that dlfuse-pxe writes itself, or that only a live image understands.
LEFT_OUT = re.compile(r"(root|netroot|initrd|ip|BOOTIF|BOOT_IMAGE|ifname|nameserver|rd\.neednet|rd\.live\.[a-z.]+|rootflags)(=.*)?$")


@dataclass
class Config:
    """An entry, and the machines that boot it."""

    kernel: str
    initrds: list
    append: list
    names: list = field(default_factory=list)
    macs: list = field(default_factory=list)
    others: list = field(default_factory=list)  # file names of machines that an inventory cannot name
    default: bool = False


def other_way(name):
    return next((way for form, way in OTHER_FILES if form.fullmatch(name)), "")


def file_of(name):
    """A kernel or initramfs in the inventory's form."""
    return Reader.as_file(name.lstrip("/"), None)


def config_of(path, problems):
    entry = entry_of(path, path.parent.absolute().parent)
    problems += entry.problems
    return Config(file_of(entry.kernel), [file_of(name) for name in entry.initrds], entry.append)


def collect(directory):
    """(configs, problems) of a pxelinux.cfg directory."""
    configs = {}
    problems = []
    owners = {}
    # pxelinux asks for names in lower case: of two files for one machine that name counts.
    for path in sorted(Path(directory).iterdir(), key=lambda path: (path.name != path.name.lower(), path.name)):
        mac = MAC_FILE.fullmatch(path.name)
        way = "" if mac else other_way(path.name)
        if not mac and not way and path.name != "default":
            continue
        found = []
        try:
            address = as_mac(mac[1][1:]) if mac else ""
            config = config_of(path, found)
        except ValueError as error:
            found.append(str(error))
            config = None
        if way:
            found = ["; ".join([f"its machine is chosen by {way}; give it by its MAC address", *found])]
        problems += [f"{path.name}: {one}" for one in found]
        if config is None:
            continue
        config = configs.setdefault((config.kernel, *config.initrds, None, *config.append), config)
        if path.is_symlink():
            config.names.append(path.resolve().name)
        if way:
            config.others.append(path.name)
        elif not mac:
            config.default = True
        elif owners.setdefault(address, config) is not config:
            problems.append(f"{path.name}: there is another file for the same address")
        elif address not in config.macs:
            config.macs.append(address)
    return list(configs.values()), problems


def manifest_of(append):
    """(manifest, comment)"""
    root = next((word[len("root=") :] for word in append if word.startswith("root=")), "")
    kind, _, url = root.partition(":")
    if kind == "dlfuse" and url:
        return url, ""
    if kind == "live" and url.startswith("http"):
        base = re.sub(r"(\.(img|iso|squashfs|erofs))?(\.(xz|gz|zst|lz4))?$", "", url)
        return f"{base}.dlfuse", f"# was root={root}: publish that image, and see that the URL is right"
    return "http://SERVER/IMAGE.dlfuse", f"# was root={root}: publish that root, and write its URL here"


def unused(name, taken):
    """A name for an image: this one, or with a number behind it."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-")[:50] or "image"
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else unused(f"{name}-{taken[name]}", taken)


def quoted(text):
    """As a TOML string; JSON's strings are TOML's as well."""
    return json.dumps(text, ensure_ascii=False)


def is_argument(word):
    return WORD.fullmatch(word) and "{" not in word


def image_lines(name, config):
    manifest, comment = manifest_of(config.append)
    words = [word for word in config.append if not word.startswith("root=")]
    args = [word for word in words if not LEFT_OUT.match(word) and is_argument(word)]
    dropped = [word for word in words if word not in args]
    initrd = ", ".join(quoted(one) for one in config.initrds)
    lines = ["", f"[image.{quoted(name)}]", f"kernel = {quoted(config.kernel)}"]
    lines += [f"initrd = [{initrd}]" if len(config.initrds) > 1 else f"initrd = {initrd}"]
    lines += [comment] if comment else []
    lines += [f"manifest = {quoted(manifest)}"]
    lines += [f"# left out: {' '.join(dropped)}"] if dropped else []
    lines += [f"args = {quoted(' '.join(args))}"] if args else []
    return lines


def inventory_of(directory, configs, problems):
    lines = [f"# From {Path(directory).absolute()}. Look through it, move that directory away, and run: dlfuse-pxe write"]
    lines += [f"# not taken over: {problem}" for problem in problems]
    lines += ["", "[boot]", f"directory = {quoted(str(Path(directory).absolute().parent))}", 'write = "pxelinux"']
    taken = {}
    for number, config in enumerate(configs, 1):
        name = unused((config.names or [f"image{number}"])[0], taken)
        lines += image_lines(name, config)
        lines += ["", f"[group.{quoted(name)}]", f"image = {quoted(name)}"]
        lines += ["default = true"] if config.default else []
        lines += [f"# {other}: give its machine here, as [host.NAME] with mac and group" for other in config.others]
        for mac in config.macs:
            lines += ["", f"[host.{quoted(mac)}]", f"group = {quoted(name)}"]
    return "\n".join(lines) + "\n"
