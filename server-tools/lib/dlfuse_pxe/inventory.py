"""The inventory: its keys and values, and its errors.

read(path) gives an Inventory in which every machine is resolved, or raises Faulty with all problems that were found, each
with its line. Nothing here writes a file or uses the network. dlfuse-pxe(8) describes the format.
"""

import bisect
import ipaddress
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

LOADERS = ("pxelinux", "ipxe", "grub")
WRITES = LOADERS + ("dnsmasq",)
# Linux on x86 takes no more, its NUL included.
COMMAND_LINE_BYTES = 2048

KEYS = {
    "boot": ("directory", "write", "dnsmasq", "url", "tftp-server", "bios", "efi-x64", "efi-arm64"),
    "network": ("subnet", "gateway", "nameserver", "dhcp", "lease"),
    "image": ("base", "kernel", "initrd", "manifest", "args", "initramfs"),
    "group": ("image", "args", "ip", "interface", "default"),
    "host": ("mac", "group", "image", "address", "args", "ip", "interface"),
}
# Several words may be one text with blanks between them, or a list.
LISTS = ("write", "nameserver", "mac", "initrd", "args")
# The files of a group's release, as dlfuse-publish lays them out.
IMAGE_DEFAULTS = {
    "kernel": "{base}/groups/{group}/vmlinuz",
    "initrd": "{base}/groups/{group}/initrd.img",
    "manifest": "{base}/groups/{group}/{image}.dlfuse",
}

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62})")
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
# The digits of a MAC address, as people and machines write them: 52:54:0:12:34:56, 52-54-00-12-34-56, 5254.0012.3456,
# 525400-123456, 525400123456.
MAC_FORMS = tuple(
    re.compile(form)
    for form in (
        r"([0-9a-f]{1,2}):([0-9a-f]{1,2}):([0-9a-f]{1,2}):([0-9a-f]{1,2}):([0-9a-f]{1,2}):([0-9a-f]{1,2})",
        r"([0-9a-f]{2})([-.])([0-9a-f]{2})(?:\2([0-9a-f]{2}))(?:\2([0-9a-f]{2}))(?:\2([0-9a-f]{2}))(?:\2([0-9a-f]{2}))",
        r"([0-9a-f]{4})[.:-]([0-9a-f]{4})[.:-]([0-9a-f]{4})",
        r"([0-9a-f]{6})[:-]([0-9a-f]{6})",
        r"([0-9a-f]{12})",
    )
)
# Nothing in it has a meaning to a boot loader, or needs another spelling for one of them.
PATH = re.compile(r"[A-Za-z0-9._~/%+@=-]+")
URL = re.compile(r"https?://(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/%+@:=?&-]*)?")
WORD = re.compile(r"[A-Za-z0-9!%()*+,./:=?@\[\]^_{}~-]+")


class Faulty(Exception):
    """The inventory cannot be used: problems is a list of (line or None, problem)."""

    def __init__(self, problems):
        super().__init__(problems)
        self.problems = problems


@dataclass
class Boot:
    """[boot], with every default filled in."""

    directory: Path
    write: tuple
    dnsmasq: Path | None
    url: str
    tftp_server: str
    files: dict  # bios, efi-x64, efi-arm64: the boot file of firmware of this kind


@dataclass
class Network:
    name: str
    subnet: ipaddress.IPv4Network
    gateway: str
    nameservers: list
    dhcp: str  # static, proxy, or FIRST,LAST
    lease: str


@dataclass
class Machine:
    """The boot of one machine; without macs, that of a group's unlisted machines."""

    title: str
    name: str  # host name, or nothing
    macs: list
    group: str
    image: str
    kernel: str
    initrds: list
    manifest: str
    args: list
    initramfs: str
    ip: str  # firmware or dhcp
    interface: str  # the name that the machine itself gives it, or nothing
    address: str
    network: Network | None  # of the address; without one, the only network that there is


@dataclass
class Inventory:
    path: Path
    boot: Boot
    networks: list
    machines: list
    default: Machine | None
    notes: list  # of (line or None, note): no errors, but possibly not meant


@dataclass
class Section:
    """One table as it stands in the file, its values as text, with the line of each key."""

    kind: str
    name: str
    line: int | None
    values: dict = field(default_factory=dict)
    lines: dict = field(default_factory=dict)

    def line_of(self, key):
        return self.lines.get(key, self.line)

    def __str__(self):
        return f"[{self.kind}.{self.name}]" if self.name else f"[{self.kind}]"


KEY = r"""(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)"""
HEADER = re.compile(rf"\s*\[\s*([A-Za-z]+)\s*((?:\.\s*{KEY}\s*)*)\]")
NAME_PART = re.compile(KEY)
SETTING = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


def parse_lines(text):
    """Line numbers of tables and keys in their usual form: tomllib, which has accepted the text, keeps none."""
    found = {}
    section = ("", "")
    for number, line in enumerate(text.split("\n"), 1):
        if header := HEADER.match(line):
            section = (header[1], ".".join(part.strip("\"'") for part in NAME_PART.findall(header[2])))
            found.setdefault(section, number)
        elif setting := SETTING.match(line):
            found.setdefault((*section, setting[1]), number)
    return found


def parse(path):
    """(tables, line numbers) of the file."""
    try:
        text = Path(path).read_bytes().decode()
        return tomllib.loads(text), parse_lines(text)
    except OSError as error:
        raise Faulty([(None, f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise Faulty([(None, "is not UTF-8 text")]) from None
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", where)
        number = int(line[1]) if line else text.rstrip("\n").count("\n") + 1
        raise Faulty([(number, what[0].lower() + what[1:])]) from None


# Each of these gives the value that the text means, or raises ValueError with the error.


def as_name(text):
    if not NAME.fullmatch(text):
        raise ValueError(f"'{text}' is no name: letters, digits, '.', '_' and '-', at most 63")
    return text


def mac_of(text):
    """The MAC address as 52:54:00:12:34:56; None where the text has no form of one."""
    for form in MAC_FORMS:
        if match := form.fullmatch(text.lower()):
            digits = "".join(part.zfill(2) for part in match.groups() if part not in "-.")
            return ":".join(digits[i : i + 2] for i in range(0, 12, 2))
    return None


def as_mac(text):
    mac = mac_of(text)
    if mac is None:
        raise ValueError(f"'{text}' is no MAC address: six pairs of hexadecimal digits, as 52:54:00:12:34:56")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise ValueError(f"'{text}' is not the MAC address of one machine")
    return mac


def as_address(text):
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise ValueError(f"'{text}' is no IPv4 address") from None


def is_ipv4(text):
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


def as_subnet(text):
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"'{text}' is no subnet as 10.0.0.0/24: {error}") from None


def as_addresses(text):
    return [str(as_address(word)) for word in text.replace(",", " ").split()]


def as_choice(*choices):
    def check(text):
        if text not in choices:
            raise ValueError(f"'{text}' is none of {', '.join(choices)}")
        return text

    return check


def as_file_name(text):
    if not PATH.fullmatch(text):
        raise ValueError(f"'{text}' has characters that boot loaders or dnsmasq would not take")
    return text


def as_path(text):
    if not PATH.fullmatch(text) or text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f"'{text}' is no path below the directory")
    return text


def as_url(text):
    match = URL.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is no URL that begins with http:// or https:// and has no odd characters")
    if match["ipv6"]:
        try:
            ipaddress.IPv6Address(match["ipv6"])
        except ValueError:
            raise ValueError(f"'{text}': [{match['ipv6']}] is no IPv6 address") from None
    return text


def as_args(text):
    words = text.split()
    for word in words:
        if not WORD.fullmatch(word):
            raise ValueError(f"'{word}': boot loaders do not agree about quotes, $, backslashes, ';', '|', '&' and the like")
        if word.split("=")[0] in ("root", "netroot", "initrd", "BOOT_IMAGE"):
            raise ValueError(f"'{word}': this one is written by dlfuse-pxe, from image")
    return words


class Reader:
    """Makes an Inventory of the sections and collects their problems."""

    def __init__(self, path):
        self.path = Path(path)
        self.problems = {}  # (line or None, what), each once, in the order in which they were found
        self.notes = {}  # likewise
        self.kinds = {kind: {} for kind in KEYS}
        tables, self.lines = parse(path)
        for kind, content in tables.items():
            if kind not in KEYS or not isinstance(content, dict):
                known = ", ".join(f"[{known}]" if known == "boot" else f"[{known}.NAME]" for known in KEYS)
                line = self.lines.get((kind, ""), self.lines.get(("", "", kind)))
                line = line or next((n for key, n in self.lines.items() if key[0] == kind), None)
                self.problem(line, f"{kind} is not known; known are {known}")
            elif kind == "boot":
                self.sort(kind, "", content)
            else:
                self.sort_names(kind, content)

    def problem(self, line, what):
        self.problems[line, what] = None

    def note(self, line, what):
        self.notes[line, what] = None

    def sort_names(self, kind, content):
        """[host.web01.example] is a table in a table to TOML, and a name with a dot in it here."""
        todo = list(reversed(content.items()))
        while todo:
            name, values = todo.pop()
            if not isinstance(values, dict):
                self.sort(kind, name, values)
                continue
            inner = {
                key: value
                for key, value in values.items()
                if isinstance(value, dict) and (key not in KEYS[kind] or (kind, f"{name}.{key}") in self.lines)
            }
            todo += [(f"{name}.{key}", value) for key, value in reversed(inner.items())]
            if len(inner) < len(values) or not inner or (kind, name) in self.lines:
                self.sort(kind, name, {key: value for key, value in values.items() if key not in inner})

    def sort(self, kind, name, values):
        """Puts a table where later lookups find it."""
        section = Section(kind, name, self.lines.get((kind, name)))
        if not isinstance(values, dict):
            self.problem(self.lines.get((kind, "", name)), f"[{kind}] has no keys; [{kind}.NAME] has")
            return
        for key, value in values.items():
            if (line := self.lines.get((kind, name, key))) is not None:
                section.lines[key] = line
            if key not in KEYS[kind]:
                known = ", ".join(KEYS[kind])
                self.problem(section.line_of(key), f"{key} is no key of {section}; known are {known}")
            elif key == "default":
                if not isinstance(value, bool):
                    self.problem(section.line_of(key), f"{key} is true or false")
                section.values[key] = "yes" if value is True else "no"
            elif key in LISTS and isinstance(value, list) and all(isinstance(word, str) for word in value):
                section.values[key] = " ".join(value)
            elif isinstance(value, str):
                section.values[key] = value
            else:
                self.problem(section.line_of(key), f"{key} is a text{' or a list of texts' if key in LISTS else ''}")
                section.values[key] = None  # is there, and has been complained about
        if kind not in ("boot", "host"):
            self.value(section, None, as_name)
        if name in self.kinds[kind]:
            self.problem(section.line, f"{section} is there twice, once with its name in quotes")
        self.kinds[kind][name] = section

    def value(self, section, key, check, default=None):
        """The checked value of a key; the section's own name without one. default if missing or wrong."""
        text = section.values.get(key) if key else section.name
        if text is None:
            return default
        try:
            if text == "":
                raise ValueError("has no value")
            return check(text)
        except ValueError as error:
            where = key or section.kind
            self.problem(section.line_of(key), f"{where}{' ' if str(error) == 'has no value' else ': '}{error}")
            return default

    def required(self, section, key, check):
        if key not in section.values:
            self.problem(section.line, f"{section} has no {key}")
        return self.value(section, key, check)

    def read(self):
        boot = self.read_boot()
        networks = self.read_networks()
        self.check_groups()
        by_address = sorted(networks, key=lambda network: network.subnet.network_address)
        machines = [self.machine(section, boot, by_address) for section in self.kinds["host"].values()]
        self.check_unique(machines)
        defaults = [s for s in self.kinds["group"].values() if s.values.get("default") == "yes"]
        default = self.machine(defaults[0], boot, by_address) if defaults else None
        if boot and not machines and not default:
            self.problem(None, "has no machine: neither a [host.NAME] nor a group with default = true")
        if self.problems:
            raise Faulty(sorted(self.problems, key=lambda problem: problem[0] or 0))
        return Inventory(self.path.absolute(), boot, networks, machines, default, list(self.notes))

    def read_boot(self):
        section = self.kinds["boot"].get("")
        if section is None:
            self.problem(None, "has no [boot]")
            return None
        here = self.path.absolute().parent
        directory = self.required(section, "directory", lambda text: here / as_file_name(text))
        write = self.value(section, "write", self.as_writes, WRITES)
        dnsmasq = None
        if "dnsmasq" in write:
            dnsmasq = self.value(section, "dnsmasq", lambda text: here / as_file_name(text), directory and directory / "dnsmasq.conf")
        files = {
            "bios": "lpxelinux.0" if "pxelinux" in write else "undionly.kpxe",
            "efi-x64": "grub/x86_64-efi/core.efi" if "grub" in write else "ipxe.efi",
            "efi-arm64": "",
        }
        files = {kind: self.value(section, kind, as_path, name) for kind, name in files.items()}
        url = self.value(section, "url", lambda text: as_url(text.rstrip("/") + "/"), "")
        server = self.value(section, "tftp-server", lambda text: str(as_address(text)), "")
        return Boot(directory, write, dnsmasq, url, server, files)

    @staticmethod
    def as_writes(text):
        words = tuple(text.replace(",", " ").split())
        for word in words:
            as_choice(*WRITES)(word)
        if not set(words) & set(LOADERS):
            raise ValueError(f"none of {', '.join(LOADERS)}")
        return words

    def read_networks(self):
        networks = []
        for section in self.kinds["network"].values():
            subnet = self.required(section, "subnet", as_subnet)
            if subnet is None:
                continue
            for other in networks:
                if other.subnet.overlaps(subnet):
                    self.problem(section.line_of("subnet"), f"subnet: {subnet} overlaps with {other.subnet} of {other.name}")

            def inside(text, subnet=subnet):
                if as_address(text) not in subnet:
                    raise ValueError(f"{text} is not in {subnet}")
                return text

            def addressing(text, inside=inside):
                if text in ("static", "proxy"):
                    return text
                ends = [inside(end.strip()) for end in text.split("-")]
                if len(ends) != 2 or as_address(ends[0]) > as_address(ends[1]):
                    raise ValueError(f"'{text}' is none of static, proxy, FIRST-LAST")
                return ",".join(ends)

            networks.append(
                Network(
                    section.name,
                    subnet,
                    self.value(section, "gateway", inside, ""),
                    self.value(section, "nameserver", as_addresses, []),
                    self.value(section, "dhcp", addressing, "static"),
                    self.value(section, "lease", self.as_lease, "12h"),
                )
            )
        modes = {network.dhcp == "proxy" for network in networks}
        if len(modes) == 2:
            line = self.kinds["network"][networks[-1].name].line_of("dhcp")
            self.problem(line, "dhcp: either all networks are proxy or none is, for one dnsmasq")
        return networks

    @staticmethod
    def as_lease(text):
        if not re.fullmatch(r"infinite|[1-9][0-9]{0,6}[mhd]?", text):
            raise ValueError(f"'{text}' is no time as 90m, 12h, 7d or infinite")
        return text

    def check_groups(self):
        """Problems of a group are reported even when it has no machine."""
        seen = None
        for section in self.kinds["group"].values():
            self.named(section, "image")
            self.inherited((section,), "ip", as_choice("firmware", "dhcp"), "")
            self.inherited((section,), "interface", self.as_interface, "")
            if section.values.get("default") == "yes":
                if seen:
                    self.problem(section.line_of("default"), f"default: group {seen} has it already")
                seen = section.name

    def machine(self, section, boot, networks):
        """The Machine of a host, or of the group that is the default. Its problems are at their lines."""
        host = section if section.kind == "host" else None
        group = section if host is None else self.named(section, "group")
        holder = next((s for s in (host, group) if s and "image" in s.values), None)
        image = self.named(holder, "image") if holder else None
        if holder is None and (group or host and "group" not in host.values):
            self.problem(section.line, f"{section} has no image, nor has its group")
        name, macs = self.identity(host) if host else ("", [])
        address, network = self.place(host, networks) if host else ("", None)
        words = {
            "host": name,
            "mac": macs[0].replace(":", "-") if macs else "",
            "address": address,
            "group": group.name if group else "",
            "image": image.name if image else "",
        }
        urls = self.urls(image, words, section, boot) if image else {}
        machine = Machine(
            title=host.name if host else f"machines of group {section.name} that are not listed",
            name=name,
            macs=macs,
            group=words["group"],
            image=words["image"],
            kernel=urls.get("kernel", ""),
            initrds=urls.get("initrd", []),
            manifest=urls.get("manifest", ""),
            args=self.arguments((image, group, host), words, section),
            initramfs=self.value(image, "initramfs", as_choice("dracut", "initramfs-tools"), "dracut") if image else "dracut",
            ip=self.inherited((host, group), "ip", as_choice("firmware", "dhcp"), "firmware"),
            interface=self.inherited((host, group), "interface", self.as_interface, ""),
            address=address,
            network=network,
        )
        if not address and len(networks) == 1:
            machine.network = networks[0]
        return machine

    @staticmethod
    def as_interface(text):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,14}", text):
            raise ValueError(f"'{text}' is no name of a network interface")
        return text

    def named(self, section, key):
        """The section that a key names."""
        name = section.values.get(key)
        if name is None:
            return None
        found = self.kinds[key].get(name)
        if not name:
            self.problem(section.line_of(key), f"{key} has no value")
        elif found is None:
            known = ", ".join(self.kinds[key]) or "none"
            self.problem(section.line_of(key), f"{key}: there is no [{key}.{name}]; there are: {known}")
        return found

    def inherited(self, sections, key, check, default):
        for section in sections:
            if section and key in section.values:
                return self.value(section, key, check, default)
        return default

    def identity(self, host):
        """Name and MAC addresses. A section with a MAC address for its name is a machine without a name."""
        if mac_of(host.name) and "mac" not in host.values:
            mac = self.value(host, None, as_mac)
            return "", [mac] if mac else []
        if not HOST_NAME.fullmatch(host.name) or len(host.name) > 63:
            self.problem(host.line, f"host: '{host.name}' is neither a host name nor a MAC address")
        elif is_ipv4(host.name):
            self.problem(host.line, f"host: '{host.name}' is an address, no host name: it belongs to the key address")
        macs = self.required(host, "mac", lambda text: [as_mac(word) for word in text.replace(",", " ").split()])
        return host.name, macs or []

    def place(self, host, networks):
        """Address and network of a host."""
        address = self.value(host, "address", as_address)
        if address is None:
            return "", None
        # Subnets do not overlap: only the last one that begins before the address can have it.
        before = bisect.bisect(networks, address, key=lambda network: network.subnet.network_address)
        network = networks[before - 1] if before else None
        if network is None or address not in network.subnet:
            self.problem(host.line_of("address"), f"address: {address} is in the subnet of no [network.NAME]")
            return "", None
        ends = (network.subnet.network_address, network.subnet.broadcast_address)
        if str(address) == network.gateway or (address in ends and network.subnet.prefixlen < 31):
            self.problem(host.line_of("address"), f"address: {address} is {network.name}'s own")
        return str(address), network

    def expand(self, text, words, section, key, user):
        """Replaces {NAME}; a problem at the key, or at the machine that lacks the value."""

        def word(match):
            name = match[1]
            if name not in words:
                self.problem(section.line_of(key), f"{key}: {{{name}}} is not known; known are {', '.join(words)}")
            elif not words[name]:
                self.problem(user.line, f"{user}: {section} wants {{{name}}} for {key}, and it has none")
            return words.get(name, "")

        return re.sub(r"\{([^{}]*)\}", word, text)

    def urls(self, image, words, user, boot):
        """kernel, initrd and manifest of a machine."""
        words = dict(words)
        texts = {key: image.values.get(key) or default for key, default in IMAGE_DEFAULTS.items()}
        words["base"] = self.expand(image.values.get("base") or "", words, image, "base", user).rstrip("/")
        if any("{base}" in text for text in texts.values()):
            try:
                as_url(words["base"])
            except ValueError as error:
                missing = "base" not in image.values
                self.problem(image.line_of("base"), f"{image} has no base" if missing else f"base: {error}")
                return {}
        urls = {}
        for key, text in texts.items():
            text = self.expand(text, words, image, key, user)
            line = image.line_of(key if key in image.values or "base" not in image.values else "base")
            try:
                if key == "manifest":
                    urls[key] = self.as_manifest(text)
                    continue
                files = [self.as_file(name, boot) for name in (text.split() if key == "initrd" else [text])]
                urls[key] = files if key == "initrd" else files[0]
            except ValueError as error:
                self.problem(line, f"{key}: {error}")
                continue
            unable = [loader for loader in ("pxelinux", "grub") if boot and loader in boot.write]
            if unable and any("://[" in name for name in files):
                self.note(line, f"{key}: {' and '.join(unable)} cannot fetch from an IPv6 address, only iPXE can")
        return urls

    @staticmethod
    def as_manifest(text):
        if not as_url(text).split("?")[0].endswith(".dlfuse"):
            raise ValueError(f"'{text}' does not end in .dlfuse")
        return text

    @staticmethod
    def as_file(text, boot):
        """A kernel or initramfs: a URL, or a path in the directory. Loaders differ in the URLs that they can fetch."""
        if "://" not in text:
            return as_path(text)
        as_url(text)
        if boot and text.startswith("https:"):
            unable = [loader for loader in ("pxelinux", "grub") if loader in boot.write]
            if unable:
                raise ValueError(f"{' and '.join(unable)} cannot fetch https")
        return text

    def arguments(self, sections, words, user):
        args = []
        for section in sections:
            if section and section.values.get("args"):
                text = self.expand(section.values["args"], words, section, "args", user)
                try:
                    args += as_args(text)
                except ValueError as error:
                    self.problem(section.line_of("args"), f"args: {error}")
        return args

    def check_unique(self, machines):
        owners = {}
        for section, machine in zip(self.kinds["host"].values(), machines):
            for key, values in (("mac", machine.macs), ("address", [machine.address] if machine.address else [])):
                for value in values:
                    if value in owners:
                        self.problem(section.line_of(key), f"{key}: {value} is {owners[value]}'s already")
                    owners.setdefault(value, machine.title)


def read(path):
    return Reader(path).read()
