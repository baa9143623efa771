"""The configuration: reads the TOML file, lays the command line's options over it, and checks every value before
anything is built.

A mistake is reported with the place where it stands, "web.conf:12: ...", or with the option's name. Keys are
written "table.key"; users are a table of tables. Paths of the file are relative to the file's directory, those of
options to the working directory. Nothing here looks into the tree.
"""

import os
import platform
import re

from .run import Failure


class Mistake(Failure):
    """The user's input is wrong: status 2."""


# Checks: each takes TOML's form of a value and returns the program's, or raises ValueError.

def text(pattern, example):
    def check(value):
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"is not like {example}")
        return value
    return check


def boolean(value):
    if not isinstance(value, bool):
        raise ValueError("is not true or false")
    return value


def number(low, high):
    def check(value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"is not a number from {low} to {high}")
        return value
    return check


def listed(check):
    """A list; one value alone is a list of one."""
    def check_all(value):
        values = value if isinstance(value, list) else [value]
        checked = []
        for one in values:
            try:
                checked.append(check(one))
            except ValueError as error:
                raise BadElement(one, error) from None
        return checked
    return check_all


class BadElement(ValueError):
    """One element of a list is wrong."""

    def __init__(self, element, error):
        super().__init__(str(error))
        self.element = element


def path(value):
    if not isinstance(value, str) or not value or "\0" in value or "\n" in value:
        raise ValueError("is not a path")
    return value


def size(value):
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,12}[KMGT]?", value):
        return value
    raise ValueError("is not a size like 1280M or 2G")


def image_format(value):
    kind, _, compressor = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind not in ("ext4", "squashfs", "erofs", "xfs", "none"):
        raise ValueError("is not an image format: ext4, squashfs, erofs, xfs and none are known")
    if compressor and (kind not in ("squashfs", "erofs") or not re.fullmatch(r"[a-z0-9]+(,[0-9]+)?", compressor)):
        raise ValueError("names a compressor that this format does not have")
    return value


def hostname(value):
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    if isinstance(value, str) and len(value) <= 64 and re.fullmatch(rf"{label}(\.{label})*", value):
        return value
    raise ValueError('is neither a host name nor "dhcp"')


def password(value):
    if value == "locked":
        return "!"
    if isinstance(value, str) and re.fullmatch(r"\$[0-9a-z]+\$[./0-9A-Za-z$=,]+", value):
        return value
    raise ValueError('is neither "locked" nor a hash; "openssl passwd -6" makes one')


def ssh_key(value):
    kind = r"(ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+)"
    if isinstance(value, str) and re.fullmatch(rf"([^\n#]*\s)?{kind} AAAA[A-Za-z0-9+/=]+( [^\n]*)?", value):
        return value
    raise ValueError("is not a public SSH key as a line of authorized_keys has it")


def fstab_line(value):
    fields = value.split() if isinstance(value, str) and "\n" not in value else []
    if not 4 <= len(fields) <= 6 or not (fields[1] == "none" or fields[1].startswith("/")):
        raise ValueError("is not a line of fstab: device, directory, type, options")
    if fields[1] == "/":
        raise ValueError("mounts /, which the initramfs has done")
    return value


def image_path(value):
    if isinstance(value, str) and re.fullmatch(r"/[^\0\n]*[^\0\n/]", value) and ".." not in value.split("/"):
        return value
    raise ValueError("is not a path in the image: it begins with /, does not end with it, and has no ..")


package = text(r"@?[A-Za-z0-9][A-Za-z0-9+._:=~^-]*", "a package's name")
unit = text(r"[A-Za-z0-9:_.@\\-]+\.(service|socket|timer|target|path|mount|swap|automount|slice)", "nginx.service")
module = text(r"[A-Za-z0-9_-]+", "a kernel module's name")
mirror = text(r"[^-\n\0][^\n\0]*", "a URL or a line of sources.list")
account = text(r"[a-z_][a-z0-9_-]{0,31}", "an account's name")
url = text(r"https?://[A-Za-z0-9._~:/?#\[\]@!&()*+,;=%-]+", "http://mirror/hosts")

KEYS = {
    "name": text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "web: letters, digits, dots and dashes"),
    "system.distribution": text("debian|ubuntu|rpm|tarball", '"debian", "ubuntu", "rpm" or "tarball"'),
    "system.release": text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "bookworm"),
    "system.mirror": listed(mirror),
    "system.keyring": path,
    "system.variant": text(r"[a-z]+|-", "minbase, one of mmdebstrap's variants"),
    "system.base": boolean,
    "system.packages": listed(package),
    "system.exclude": listed(package),
    "system.remove": listed(image_path),
    "system.tarball": path,
    "image.format": listed(image_format),
    "image.size": size,
    "node.hostname": hostname,
    "node.locale": text(r"[A-Za-z_]+(\.[A-Za-z0-9-]+)?(@[a-z]+)?", "en_GB.UTF-8"),
    "node.timezone": text(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", "Europe/Paris"),
    "node.fstab": listed(fstab_line),
    "node.overlay": path,
    "node.overlay_owner": text("keep|root", '"keep" or "root"'),
    "node.enable": listed(unit),
    "node.disable": listed(unit),
    "node.mask": listed(unit),
    "node.hook": path,
    "node.keys": listed(path),
    "kernel.package": text(r"[a-z0-9][a-z0-9+._-]*", "linux-image-amd64, or none"),
    "kernel.compress_modules": boolean,
    "kernel.load": listed(module),
    "kernel.blacklist": listed(module),
    "kernel.drivers": listed(module),
    "kernel.initramfs": boolean,
    "kernel.dracut_modules": listed(module),
    "kernel.dracut_args": text(r"[^\n\0]*", "--add-drivers mlx5_core"),
    "kernel.dlfuse": path,
    "root.password": password,
    "root.authorized_keys": listed(ssh_key),
    "firstboot.base": url,
}

USER_KEYS = {
    "uid": number(1, 4294967293),
    "password": password,
    "groups": listed(account),
    "shell": image_path,
    "home": image_path,
    "comment": text(r"[^:\n\0]*", "a name, without a colon"),
    "authorized_keys": listed(ssh_key),
}

DEFAULTS = {
    "name": "root",
    "system.distribution": "debian",
    "system.variant": "minbase",
    "system.base": True,
    "image.format": ["ext4"],
    "image.size": "1280M",
    "node.hostname": "dhcp",
    "node.overlay_owner": "keep",
    "kernel.compress_modules": True,
    "kernel.initramfs": True,
}

# Debian's stable release, where this machine has no Debian.
STABLE = "trixie"

PATHS = {"system.keyring", "system.tarball", "node.overlay", "node.hook", "kernel.dlfuse", "node.keys"}


def default_release(distribution):
    """This machine's release, if it is of this distribution. For distributions other than Debian there is no other
    default. The same as host_release of lib/release.sh."""
    try:
        host = platform.freedesktop_os_release()
    except OSError:
        host = {}
    if host.get("ID") == distribution and host.get("VERSION_CODENAME"):
        return host["VERSION_CODENAME"]
    return STABLE if distribution == "debian" else None


def find_line(lines, wanted, element=None):
    """The number of the line that sets wanted, a tuple of keys; with element, that of the list's element."""
    table = ()
    for at, line in enumerate(lines):
        line = line.strip()
        header = re.match(r"\[\s*([^\[\]]+?)\s*\]", line)
        setting = re.match(r"([A-Za-z0-9_\"'. -]+?)\s*=", line)
        if header:
            table = split_key(header[1])
            here = table
        elif setting:
            here = table + split_key(setting[1])
        else:
            continue
        if here[:len(wanted)] == wanted:
            return find_element(lines, at, element)
    return 1


def find_element(lines, at, element):
    if isinstance(element, str):
        for number_, line in enumerate(lines[at:], at + 1):
            if f'"{element}"' in line or f"'{element}'" in line:
                return number_
    return at + 1


def split_key(key):
    return tuple(part.strip().strip("\"'") for part in key.split("."))


class Conf:
    """Values by key, the file's or an option's or the default; and where each of them was set."""

    def __init__(self):
        self.file = None
        self.users = {}
        # The tree of kernel.dlfuse, once it is unpacked (programs.py).
        self.programs = None
        self._values = dict(DEFAULTS)
        self._where = {}
        self._lines = []

    def __getitem__(self, key):
        if key == "system.release" and key not in self._values:
            return default_release(self["system.distribution"])
        return self._values.get(key)

    def is_set(self, key):
        return key in self._where

    def where(self, key, element=None):
        """The beginning of a message about key."""
        if self._where.get(key) == self.file and self.file is not None:
            return f"{self.file}:{find_line(self._lines, split_key(key), element)}: {key}"
        return self._where.get(key, key)

    def wrong(self, key, reason, element=None):
        """A mistake in key's value."""
        shown = f" '{element}'" if isinstance(element, str) else ""
        return Mistake(f"{self.where(key, element)}:{shown} {reason}")

    def set(self, key, value, where, directory=""):
        """Checks value and takes it. where: the file, or an option's name."""
        if key not in KEYS:
            raise Mistake(f"{where}: there is no key {key}; see dlfuse-mkroot(8)")
        self._where[key] = where
        if key == "node.hostname" and value == "dhcp":
            self._values[key] = value
            return
        try:
            value = self._read_keys(key, value, directory)
            value = KEYS[key](value)
        except BadElement as error:
            raise self.wrong(key, error, error.element) from None
        except ValueError as error:
            raise self.wrong(key, error, value if shows(key) else None) from None
        if key in PATHS:
            value = ([os.path.join(directory, one) for one in value] if isinstance(value, list)
                     else os.path.join(directory, value))
        self._values[key] = value

    @staticmethod
    def _read_keys(key, value, directory):
        """authorized_keys may also be a file's name: a text that is no key."""
        if not key.endswith("authorized_keys") or not isinstance(value, str) or " " in value:
            return value
        try:
            with open(os.path.join(directory, value), encoding="utf-8") as file:
                return [line.strip() for line in file if line.strip() and not line.startswith("#")]
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot be read: {getattr(error, 'strerror', None) or 'not a text'}") from None

    def load(self, file):
        """Reads the file; options come afterwards."""
        try:
            import tomllib
        except ImportError:
            raise Failure(f"{file} cannot be read by this Python: 3.11 or newer is needed") from None
        try:
            with open(file, encoding="utf-8") as stream:
                content = stream.read()
        except OSError as error:
            raise Failure(f"{file}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise Mistake(f"{file}: byte {error.start} is not UTF-8") from None
        try:
            parsed = tomllib.loads(content)
        except tomllib.TOMLDecodeError as error:
            raise Mistake(toml_error(file, content, error)) from None
        self.file = file
        self._lines = content.split("\n")
        for name, value in parsed.items():
            self._load_item(name, value)

    def _load_item(self, name, value):
        directory = os.path.dirname(os.path.abspath(self.file))
        if name == "users":
            self._load_users(value, directory)
        elif isinstance(value, dict):
            for key, item in value.items():
                self._known(f"{name}.{key}")
                self.set(f"{name}.{key}", item, self.file, directory)
            if not value:
                self._known_table(name)
        else:
            self._known(name)
            self.set(name, value, self.file, directory)

    def _known_table(self, name):
        if not any(key.startswith(f"{name}.") for key in KEYS):
            self._unknown(name)

    def _known(self, key):
        if key not in KEYS:
            self._unknown(key)

    def _unknown(self, key):
        raise Mistake(f"{self.file}:{find_line(self._lines, split_key(key))}: there is no key {key}; "
                      "see dlfuse-mkroot(8)")

    def _load_users(self, users, directory):
        if not isinstance(users, dict) or not all(isinstance(user, dict) for user in users.values()):
            raise Mistake(f"{self.file}:{find_line(self._lines, ('users',))}: users are tables like [users.alice]")
        for name, values in users.items():
            prefix = f"users.{name}"
            self._where[prefix] = self.file
            try:
                account(name)
            except ValueError as error:
                raise self.wrong(prefix, error, name) from None
            if name == "root":
                raise self.wrong(prefix, "root has a table of its own, [root]")
            self.users[name] = self._load_user(prefix, values, directory)

    def _load_user(self, prefix, values, directory):
        user = {}
        for key, value in values.items():
            if key not in USER_KEYS:
                self._unknown(f"{prefix}.{key}")
            self._where[f"{prefix}.{key}"] = self.file
            try:
                user[key] = USER_KEYS[key](self._read_keys(key, value, directory))
            except BadElement as error:
                raise self.wrong(f"{prefix}.{key}", error, error.element) from None
            except ValueError as error:
                raise self.wrong(f"{prefix}.{key}", error, value if shows(key) else None) from None
        return user


def shows(key):
    """A value in place of a hash may be a password: messages leave it out."""
    return not key.endswith("password")


def toml_error(file, content, error):
    """file:line: message of tomllib's "message (at line 3, column 5)"."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
    if not match:
        return f"{file}:1: {error}"
    line = match[2] or str(content.rstrip("\n").count("\n") + 1)
    return f"{file}:{line}: {match[1][0].lower()}{match[1][1:]}"


def parse_value(value):
    """The value as TOML has it; text that is no TOML is a string."""
    try:
        import tomllib
        return tomllib.loads(f"value = {value}")["value"]
    except (ImportError, ValueError):
        return value
