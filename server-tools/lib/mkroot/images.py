"""Images of a tree. The same tree gives the same bytes on any build host, but for xfs.

Two things stand in the way of that with mkfs.ext4 -d: it writes files in readdir order and copies their ctime, and
both belong to the build host. So the tree first becomes a squashfs, which has sorted directories and no ctime, and
the image is made from a read-only mount of that: by the kernel, or, not as root, by squashfuse. xfs has no way to
make an image of a directory with its times: the kernel writes it, with its own times of change and its log.
"""

import hashlib
import os

from .run import Failure, in_namespace, need, run, say

FILES = {"ext4": "root.img", "squashfs": "root.squashfs", "erofs": "root.erofs", "xfs": "root.xfs"}

# $1: the squashfs, $2: its mount point; then a command, which runs while it is mounted.
WITH_LOOP = """
mount -t squashfs -o loop,ro "$1" "$2"
shift 2
exec "$@"
"""

# The same. squashfuse without _ll does not show which names are one file. A FUSE mount does not end with the mount
# namespace, because its daemon is in that too.
WITH_FUSE = """
dir=$2
squashfuse_ll "$1" "$dir"
shift 2
status=0
"$@" || status=$?
umount "$dir"
exit $status
"""

# $1: the tree, $2: the image, $3: its mount point. nouuid: an image of the same name may be mounted elsewhere.
COPY_TO_XFS = """
mount -t xfs -o loop,nouuid "$2" "$3"
cp -a "$1/." "$3/"
umount "$3"
"""


def check(conf):
    for one in conf["image.format"]:
        kind = one.partition(":")[0]
        if kind == "ext4":
            need("mkfs.ext4", "e2fsprogs")
            if os.getuid() != 0 or by_fuse():
                need("squashfuse_ll", "squashfuse")
        elif kind == "erofs":
            need("mkfs.erofs", "erofs-utils")
        elif kind == "xfs":
            need("mkfs.xfs", "xfsprogs")
            if os.getuid() != 0:
                raise conf.wrong("image.format", "needs to be made by root: the kernel must mount it", one)
    if conf["image.format"] != ["none"]:
        need("mksquashfs", "squashfs-tools")


def derived_uuid(conf, what):
    """A stable UUID for a name, so that the same name gives the same image."""
    h = hashlib.sha256(f"dlfuse-mkroot {what} {conf['name']}\n".encode()).hexdigest()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-8{h[17:20]}-{h[20:32]}"


def make(one, tree, conf, work, out):
    """Makes the image of format one in the directory out."""
    kind, _, compressor = one.partition(":")
    if kind == "none":
        return
    target = os.path.join(out, FILES[kind])
    say(f"making {FILES[kind]}")
    if kind == "squashfs":
        make_squashfs(tree, target, "-comp", compressor or "zstd")
    elif kind == "erofs":
        make_erofs(tree, conf, compressor, target)
    elif kind == "ext4":
        make_ext4(tree, conf, work, target)
    else:
        make_xfs(tree, conf, work, target)


def make_squashfs(tree, target, *options):
    # mksquashfs refuses its own time options beside SOURCE_DATE_EPOCH, which would also flatten older times.
    env = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    run(["mksquashfs", tree.root, target, "-noappend", "-no-progress", "-quiet", "-mkfs-time", str(tree.epoch),
         *options], f"mksquashfs failed for {target}", env)


def make_erofs(tree, conf, compressor, target):
    compress = [f"-z{compressor}"] if compressor else []
    run(["mkfs.erofs", "-T", str(tree.epoch), "--preserve-mtime", "-U", derived_uuid(conf, "erofs"), *compress, target,
         tree.root], f"mkfs.erofs failed for {target}")


def by_fuse():
    """There is no loop device, or it is not this user's."""
    return in_namespace() or not os.path.exists("/dev/loop-control")


def make_ext4(tree, conf, work, target):
    truncate(target, conf)
    env = {**os.environ, "E2FSPROGS_FAKE_TIME": str(tree.epoch)}
    # One CPU less to wait for: the inode tables are holes in the file and need no zeroing.
    options = f"hash_seed={derived_uuid(conf, 'hash-seed')},lazy_itable_init=1,nodiscard"
    # squashfuse gives attributes wrong names.
    if by_fuse():
        options += ",no_copy_xattrs"
    with_sorted(tree, work, lambda directory: [
        "mkfs.ext4", "-q", "-F", "-L", conf["name"][:16], "-U", derived_uuid(conf, "ext4"), "-E", options,
        "-d", directory, target], too_small("mkfs.ext4", tree, conf), env)
    if by_fuse():
        set_attributes(tree, work, target, env)


def set_attributes(tree, work, target, env):
    """The tree's extended attributes, by debugfs, into an ext4 image without any."""
    commands = b""
    seen = set()
    for directory, subdirectories, files in os.walk(os.fsencode(tree.root)):
        for name in sorted(subdirectories + files):
            full = os.path.join(directory, name)
            inode = os.lstat(full).st_ino
            for attribute in sorted(os.listxattr(full, follow_symlinks=False)) if inode not in seen else []:
                value = os.path.join(work, f"attribute-{len(seen)}-{attribute}")
                with open(value, "wb") as file:
                    file.write(os.getxattr(full, attribute, follow_symlinks=False))
                inside = os.path.relpath(full, os.fsencode(tree.root)).replace(b'"', b'""')
                commands += b'ea_set -f "%s" "/%s" %s\n' % (os.fsencode(value), inside, os.fsencode(attribute))
            seen.add(inode)
    if not commands:
        return
    script = os.path.join(work, "attributes")
    with open(script, "wb") as file:
        file.write(commands)
    printed = run(["debugfs", "-w", "-f", script, target], "debugfs fails", env).splitlines()
    # Its exit status is always 0.
    wrong = [line for line in printed if line.strip() and not line.startswith("debugfs")]
    if wrong:
        raise Failure(f"debugfs cannot set an attribute: {wrong[0]}")


def make_xfs(tree, conf, work, target):
    truncate(target, conf)
    run(["mkfs.xfs", "-q", "-f", "-L", conf["name"][:12], "-m", f"uuid={derived_uuid(conf, 'xfs')}", target],
        f"mkfs.xfs failed for an image of {conf['image.size']}; see image.size")
    mounted = os.path.join(work, "xfs")
    os.mkdir(mounted)
    run(["unshare", "--mount", "--propagation", "private", "sh", "-euc", COPY_TO_XFS, "sh", tree.root, target,
         mounted], too_small("filling the xfs image", tree, conf))


def with_sorted(tree, work, command, why, env):
    """Runs command(DIR): DIR has the tree's files, in order and without times of change."""
    squashfs = os.path.join(work, "sorted.squashfs")
    mounted = os.path.join(work, "sorted")
    make_squashfs(tree, squashfs, "-noI", "-noD", "-noF", "-noX")
    os.mkdir(mounted)
    run(["unshare", "--mount", "--propagation", "private", "sh", "-euc", WITH_FUSE if by_fuse() else WITH_LOOP, "sh",
         squashfs, mounted, *command(mounted)], why, env)
    os.rmdir(mounted)
    os.unlink(squashfs)


def truncate(target, conf):
    size = conf["image.size"]
    factor = 1024 ** (" KMGT".index(size[-1])) if size[-1] in "KMGT" else 1
    try:
        with open(target, "wb") as file:
            file.truncate(int(size.rstrip("KMGT")) * factor)
    except OSError as error:
        raise Failure(f"cannot make an image of {size}: {error.strerror}") from None


def too_small(what, tree, conf):
    used = run(["du", "-sh", tree.root], "du fails").split()[0]
    return f"{what} failed ({conf['image.size']} for {used} of files; see image.size)"
