"""Checks that the files that an inventory's machines boot exist: kernel, initramfs, and an image with a valid manifest and with
an index and a boot pack that can be read. Changes nothing. A kernel, an initramfs or a manifest that many machines share is asked for once.
"""

import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

MANIFEST_BYTES = 65536
AT_ONCE = 8
# docs/FORMAT.md, Manifest. Only the machines, which have keys, check signatures.
MANIFEST = re.compile(
    r"dlfuse-manifest 1\n"
    r"name (?P<name>[A-Za-z0-9_][A-Za-z0-9._-]*)\n"
    r"serial (?P<serial>[1-9][0-9]*)\n"
    r"created [0-9TZ:-]+\n"
    r"image-size [0-9]+\n"
    r"index (?P<index>[0-9a-f]{64}) (?P<index_size>[0-9]+)\n"
    r"index-head [0-9a-f]{64} [0-9]+\n"
    r"(?:boot (?P<boot>[0-9a-f]{64}) (?P<boot_size>[0-9]+)\nboot-table [0-9a-f]{64} [0-9]+\n)?"
    r"(?P<mirrors>(?:mirror https?://[!-~]+\n)*)"
    r"(?:signature [!-~]+ [!-~]+\n)*"
)


class Missing(Exception):
    """A file or object is missing; the text has its name and the reason."""


@dataclass
class Found:
    """The answer about one URL or file."""

    what: str
    ok: bool
    bytes: int = 0
    serial: int = 0
    error: str = ""


def store_of(url):
    """(URL of the store, file name) of a manifest. A release's belongs to the store that has the releases."""
    place, _, name = url.split("?")[0].rpartition("/")
    parts = place.split("/")
    if len(parts) > 4 and parts[-2] in ("releases", "groups"):
        place = "/".join(parts[:-2])
    return f"{place}/", name


def reason(error):
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Checker:
    """Asks as the machines do: directly, even if this host uses a proxy."""

    def __init__(self, timeout):
        self.timeout = timeout
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, url, method, most=0):
        """(length, at most `most` bytes)."""
        request = urllib.request.Request(url, method=method, headers={"User-Agent": "dlfuse-pxe"})
        try:
            with self.opener.open(request, timeout=self.timeout) as answer:
                length = answer.headers.get("Content-Length", "")
                return int(length) if length.isdigit() else -1, answer.read(most) if most else b""
        except urllib.error.HTTPError as error:
            # Some servers lack HEAD.
            if method == "HEAD" and error.code in (405, 501):
                return self.ask(url, "GET")
            raise Missing(f"{url}: {reason(error)}") from None
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise Missing(f"{url}: {reason(error)}") from None

    def size(self, url):
        length, _ = self.ask(url, "HEAD")
        if length == 0:
            raise Missing(f"{url}: is empty")
        return length

    def file(self, url):
        return Found(url, True, bytes=max(self.size(url), 0))

    def object(self, places, name, size):
        """An object of a store, at the first of these places that has it."""
        first = None
        for place in places:
            try:
                length = self.size(place + name)
                if length not in (-1, size):
                    raise Missing(f"{place}{name}: has {length} bytes, not {size}")
                return
            except Missing as error:
                first = first or error
        raise first

    def manifest(self, url):
        _, data = self.ask(url, "GET", MANIFEST_BYTES + 1)
        match = MANIFEST.fullmatch(data.decode("ascii", "replace")) if len(data) <= MANIFEST_BYTES else None
        if not match:
            raise Missing(f"{url}: is not a dlfuse manifest")
        store, name = store_of(url)
        if name != f"{match['name']}.dlfuse":
            raise Missing(f"{url}: is the manifest of {match['name']}")
        places = [store, *(line.split()[1] for line in match["mirrors"].splitlines())]
        self.object(places, f"index/{match['index']}", int(match["index_size"]))
        if match["boot"]:
            self.object(places, f"boot/{match['boot']}", int(match["boot_size"]))
        return Found(url, True, serial=int(match["serial"]))

    def local(self, directory, name):
        path = directory / name
        if not path.is_file() or path.stat().st_size == 0:
            raise Missing(f"{path}: is not there, or empty")
        return Found(str(path), True, bytes=path.stat().st_size)


def find(checker, directory, kind, name):
    try:
        if kind == "manifest":
            return checker.manifest(name)
        return checker.file(name) if "://" in name else checker.local(directory, name)
    except Missing as error:
        return Found(name, False, error=str(error))


def together(answers):
    """Several files as one: an initramfs may be several."""
    if len(answers) == 1:
        return answers[0]
    errors = [answer.error for answer in answers if not answer.ok]
    return Found(" ".join(answer.what for answer in answers), not errors, sum(answer.bytes for answer in answers), error="; ".join(errors))


def names_of(machine):
    return {"kernel": [machine.kernel], "initrd": machine.initrds, "manifest": [machine.manifest]}


def machines(inventory, timeout):
    """(machine, {kernel, initrd, manifest: Found}) for each, the default's last."""
    checker = Checker(timeout)
    everyone = inventory.machines + ([inventory.default] if inventory.default else [])
    wanted = {(kind, name) for machine in everyone for kind, names in names_of(machine).items() for name in names}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = {key: pool.submit(find, checker, inventory.boot.directory, *key) for key in wanted}
    return [
        (machine, {kind: together([answers[kind, name].result() for name in names]) for kind, names in names_of(machine).items()})
        for machine in everyone
    ]


def boot_files(inventory):
    """Problems with the boot loaders: (kind, name, error or nothing). With tftp-server another server has them."""
    boot = inventory.boot
    if boot.tftp_server:
        return []
    found = []
    for kind, name in boot.files.items():
        names = [name] if name else []
        if name.endswith("pxelinux.0"):
            names.append(name.rpartition("/")[0] + "/ldlinux.c32" if "/" in name else "ldlinux.c32")
        missing = [wanted for wanted in names if not (boot.directory / wanted).is_file()]
        if names:
            found.append((kind, name, f"{' and '.join(missing)} not in {boot.directory}" if missing else ""))
    return found
