"""Kernel modules. Debian's kernel has 400 MB of them, more than half of a server's root filesystem, and a node keeps
all of that in memory: compressed they are a quarter. kmod, in the image and in its initramfs, unpacks the modules that it loads."""

import os
import shutil

from .run import need, run, run_inside, say

# zstd -19 takes 15 times as long and makes 8% less of Debian's.
LEVEL = "-9"

COMPRESS = """
find "$1" -type f -name '*.ko' -print0 | LC_ALL=C sort -z | xargs -0r -n 32 -P "$(nproc)" zstd "$2" -q -T1 --rm --
"""


def check(conf):
    if conf["kernel.compress_modules"]:
        need("zstd", "zstd (or set kernel.compress_modules to false)")


def directory(tree):
    return tree.resolve("/usr/lib/modules" if tree.exists("/usr/lib/modules") else "/lib/modules")


def compress(tree, conf, aside):
    """Compresses the uncompressed modules of every kernel. Where an initramfs will be made, aside becomes a copy of
    all of them as they were."""
    place = directory(tree)
    if not conf["kernel.compress_modules"] or conf["image.format"] == ["none"] or not os.path.isdir(place):
        return
    versions = [version for version in sorted(os.listdir(place)) if has_plain(os.path.join(place, version))]
    if versions and not reads_zstd(tree):
        if conf.is_set("kernel.compress_modules"):
            raise conf.wrong("kernel.compress_modules", "kmod in the image does not read zstd")
        say("kernel modules stay as they are: kmod in the image does not read zstd")
        return
    if versions and conf["kernel.initramfs"]:
        run(["cp", "-a", "--", place, aside], "the kernel modules cannot be copied")
    for version in versions:
        say(f"compressing the kernel modules of {version}")
        one = os.path.join(place, version)
        run(["sh", "-euc", COMPRESS, "sh", one, LEVEL], f"the kernel modules of {version} cannot be compressed")
        finish(tree, one)
        run_inside(tree.root, ["depmod", version], f"depmod fails for {version}")


def put_back(tree, aside):
    """Restores the modules as they were, if they have changed: an initramfs is compressed as a whole, which makes it
    smaller."""
    if os.path.isdir(aside):
        place = directory(tree)
        shutil.rmtree(place)
        os.rename(aside, place)


def has_plain(place):
    return any(name.endswith(".ko") for _, _, names in os.walk(place) for name in names)


def reads_zstd(tree):
    return tree.exists("/usr/bin/kmod") and "+ZSTD" in run_inside(tree.root, ["kmod", "--version"], "kmod fails")


def finish(tree, place):
    """Copies labels, which zstd does not, and makes links to files under their new names."""
    for at, _, names in os.walk(place):
        for name in names:
            full = os.path.join(at, name)
            if name.endswith(".ko") and os.path.islink(full):
                os.symlink(f"{os.readlink(full)}.zst", f"{full}.zst")
                os.unlink(full)
                full += ".zst"
            if full.endswith(".ko.zst"):
                tree.label(full)
