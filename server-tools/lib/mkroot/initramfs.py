"""The kernel and its initramfs: dracut runs in the tree, with the tree's own kernel and libraries, after the images
are made: they lack the files that the tree gets for the initramfs."""

import os
import re
import shutil

from . import modules, programs
from .run import Failure, run, run_inside, say


def make(tree, conf, out):
    """Writes vmlinuz and initrd.img into the directory out."""
    version, kernel = find_kernel(tree)
    if conf.programs:
        run(["cp", "-a", os.path.join(conf.programs, "."), tree.root], f"{conf['kernel.dlfuse']} cannot be copied into the tree")
    parts = dracut_modules(tree, conf)
    say(f"making initrd.img for {version} with dracut ({' '.join(parts)})")
    # Decompression is on the way of every boot: zstd is several times faster than gzip. Level 9 and not dracut's
    # 15: a ninth of the time to compress, and 1.3% more bytes.
    compress = "zstd -9 -q -T0" if tree.exists("/usr/bin/zstd") else "gzip"
    drivers = conf["kernel.drivers"]
    printed = run_inside(tree.root, [
        "sh", "-euc", 'ldconfig; exec dracut "$@"', "sh", "--force", "--quiet", "--no-hostonly",
        "--no-hostonly-cmdline", "--reproducible", "--compress", compress, "--add", " ".join(parts),
        *(["--add-drivers", " ".join(drivers)] if drivers else []), *(conf["kernel.dracut_args"] or "").split(),
        "/boot/initrd.new", version], "dracut failed")
    # dracut exits 0 when it leaves out a module that was asked for.
    for module in parts:
        for line in printed.splitlines():
            if f"odule '{module}'" in line and re.search("(cannot|could not|will not) be", line):
                raise Failure(f"dracut left out the module {module}: {line.strip()}")
    for source, name in ((tree.resolve("/boot/initrd.new"), "initrd.img"), (kernel, "vmlinuz")):
        shutil.copyfile(source, os.path.join(out, name))
        os.chmod(os.path.join(out, name), 0o644)
    tree.remove("/boot/initrd.new")


def find_kernel(tree):
    """(version, path of the kernel on the host): the newest that has modules."""
    place = modules.directory(tree)
    versions = os.listdir(place) if os.path.isdir(place) else []
    versions.sort(key=lambda version: [int(part) if part.isdigit() else -1 for part in re.split(r"[^0-9]+", version)])
    for version in reversed(versions):
        for place in (f"/boot/vmlinuz-{version}", f"/usr/lib/modules/{version}/vmlinuz"):
            if tree.exists(place):
                return version, tree.resolve(place)
    raise Failure("the image has no kernel: add its package, or make no initramfs (--no-initramfs)")


def dracut_modules(tree, conf):
    if conf["kernel.dracut_modules"]:
        return conf["kernel.dracut_modules"]
    if tree.exists(f"/{programs.MODULE}"):
        return ["dlfuse"]
    # dracut 059 would take systemd-networkd, which does not call its network root handlers there. Later versions do, and
    # come without the DHCP client that network-legacy needs.
    return (["network-legacy"] if tree.exists("/usr/sbin/dhclient") else []) + ["livenet"]


def write_sums(tree, out):
    """SHA-256 of every file, as sha256sum prints it."""
    say("hashing every file")
    run(["sh", "-euc", 'cd "$1" && find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum >"$2"', "sh",
         tree.root, os.path.abspath(os.path.join(out, "root.sums"))], "the files cannot be hashed")
