"""An inventory of what people have: a pxelinux.cfg directory with a file or symlink for each MAC address.

Files that say the same make one image and one group. What cannot be taken over stays in the inventory as a comment, so that
nobody loses it unseen.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

MAC_FILE = re.compile(r"01((?:-[0-9a-fA-F]{2}){6})")
# What dlfuse-pxe writes itself, or what only a live image understands.
LEFT_OUT = re.compile(r"(root|netroot|initrd|ip|BOOTIF|ifname|nameserver|rd\.neednet|rd\.live\.[a-z.]+|rootflags)(=.*)?$")


@dataclass
class Config:
    """The entry that a pxelinux configuration boots."""

    kernel: str
    initrd: str
    append: list
    names: list = field(default_factory=list)
    macs: list = field(default_factory=list)
    default: bool = False


def parse(text):
    """The default entry, as {keyword: value}; ValueError without one."""
    sections = {None: {}}
    label = None
    for line in text.splitlines():
        keyword, value = (line.split(None, 1) + ["", ""])[:2]
        keyword = keyword.lower()
        if keyword == "label":
            label = value.strip()
            sections[label] = {}
        elif keyword and not keyword.startswith("#"):
            sections[label][keyword] = value.strip()
    common = sections.pop(None)
    chosen = common.get("default", common.get("ontimeout", ""))
    if chosen not in sections:
        chosen = next(iter(sections), None)
    entry = {**common, **(sections[chosen] if chosen is not None else {})}
    if not entry.get("linux", entry.get("kernel")):
        raise ValueError("has no entry with a kernel that is booted without asking")
    return entry


def config_of(text):
    if not text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        raise ValueError("has characters that are no text")
    entry = parse(text)
    append = entry.get("append", "").split()
    initrd = entry.get("initrd", "")
    for word in append:
        if word.startswith("initrd="):
            initrd = initrd or word[len("initrd=") :]
    if not initrd:
        raise ValueError("has no initrd")
    kernel = entry.get("linux") or entry["kernel"]
    return Config(kernel.lstrip("/"), initrd.lstrip("/"), append)


def collect(directory):
    """(configs, problems) of a pxelinux.cfg directory."""
    configs = {}
    problems = []
    for path in sorted(Path(directory).iterdir()):
        mac = MAC_FILE.fullmatch(path.name)
        if not mac and path.name != "default":
            if re.fullmatch(r"[0-9A-F]{1,8}", path.name):
                problems.append(f"{path.name}: machines are chosen by their address; give them by their MAC address")
            continue
        try:
            config = config_of(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path.name}: {getattr(error, 'strerror', None) or error}")
            continue
        except ValueError as error:
            problems.append(f"{path.name}: {error}")
            continue
        config = configs.setdefault((config.kernel, config.initrd, tuple(config.append)), config)
        if path.is_symlink():
            config.names.append(re.sub(r"[^A-Za-z0-9._-]", "-", path.resolve().name))
        if mac:
            config.macs.append(mac[1][1:].lower().replace("-", ":"))
        else:
            config.default = True
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
    while name in taken:
        name += "-x"
    taken.add(name)
    return name


def quoted(text):
    """As a TOML string; json's are that as well."""
    return json.dumps(text)


def inventory_of(directory, configs, problems):
    lines = [f"# From {Path(directory).absolute()}. Look through it, move that directory away, and run: dlfuse-pxe write"]
    lines += [f"# not taken over: {problem}" for problem in problems]
    lines += ["", "[boot]", f"directory = {quoted(str(Path(directory).absolute().parent))}", 'write = "pxelinux"']
    taken = set()
    for number, config in enumerate(configs, 1):
        name = unused((config.names or [f"image{number}"])[0], taken)
        manifest, comment = manifest_of(config.append)
        dropped = [word for word in config.append if LEFT_OUT.match(word) and not word.startswith(("root=", "initrd="))]
        args = [word for word in config.append if not LEFT_OUT.match(word)]
        lines += ["", f"[image.{quoted(name)}]", f"kernel = {quoted(config.kernel)}", f"initrd = {quoted(config.initrd)}"]
        lines += [comment] if comment else []
        lines += [f"manifest = {quoted(manifest)}"]
        lines += [f"# left out: {' '.join(dropped)}"] if dropped else []
        lines += [f"args = {quoted(' '.join(args))}"] if args else []
        lines += ["", f"[group.{quoted(name)}]", f"image = {quoted(name)}"]
        lines += ["default = true"] if config.default else []
        for mac in config.macs:
            lines += ["", f"[host.{quoted(mac)}]", f"group = {quoted(name)}"]
    return "\n".join(lines) + "\n"
