"""Makes a tree the root filesystem of many nodes: sets names, time, file systems, services, keys; and removes the files that
must not be the same on two nodes."""

import glob
import os
import shutil
import stat

from .run import Failure, run, run_inside, say

HERE = os.path.dirname(os.path.abspath(__file__))
UNITS = "/usr/lib/systemd/system"

# Of one machine: its seeds and ids, and the last time that it knew.
FORGOTTEN = (
    "/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret", "/var/lib/dbus/machine-id",
    "/var/cache/ldconfig/aux-cache", "/var/lib/systemd/timesync/clock", "/var/lib/private/systemd/timesync/clock",
    "/etc/fake-hwclock.data",
    # These files make systemd take a machine for a container: without consoles, and without much else.
    "/.dockerenv", "/.dockerinit", "/run/.containerenv", "/run/systemd/container", "/run/host/container-manager",
)

# The first day of 2020: trees that seem to be older have a build system's constant for a time.
EARLIEST_CLOCK = 1577836800

FSTAB = """\
# The root is an overlay that the initramfs has mounted: it has no line here.
"""


def apply(tree, conf):
    """Applies every setting of the node but its users; the overlay comes over this, services last."""
    for directory, mode in (("/proc", 0o555), ("/sys", 0o555), ("/dev", 0o755), ("/run", 0o755), ("/tmp", 0o1777)):
        tree.mkdir(directory, mode)
    set_hostname(tree, conf["node.hostname"])
    tree.write("/etc/fstab", FSTAB + "".join(f"{line}\n" for line in conf["node.fstab"] or []))
    if conf["node.locale"]:
        set_locale(tree, conf)
    if conf["node.timezone"]:
        set_timezone(tree, conf)
    if conf["kernel.load"]:
        tree.write("/etc/modules-load.d/dlfuse-mkroot.conf", "".join(f"{one}\n" for one in conf["kernel.load"]))
    if conf["kernel.blacklist"]:
        tree.write("/etc/modprobe.d/dlfuse-mkroot.conf",
                   "".join(f"blacklist {one}\n" for one in conf["kernel.blacklist"]))
    install_keys(tree, conf)
    if tree.exists("/usr/sbin/sshd"):
        add_unit(tree, "dlfuse-ssh-keys.service")
    if conf["firstboot.base"]:
        install_firstboot(tree, conf)


def set_hostname(tree, name):
    """dhcp: without /etc/hostname systemd keeps the name that the initramfs has set from the lease."""
    hosts = "127.0.0.1 localhost\n"
    if name == "dhcp":
        tree.remove("/etc/hostname")
    else:
        tree.write("/etc/hostname", f"{name}\n")
        hosts += f"127.0.1.1 {name}\n"
    tree.write("/etc/hosts", f"{hosts}::1 localhost ip6-localhost ip6-loopback\n")


def set_locale(tree, conf):
    name = conf["node.locale"]
    if name not in ("C", "POSIX", "C.UTF-8") and not has_locale(tree, name):
        if not tree.exists("/usr/sbin/locale-gen"):
            raise conf.wrong("node.locale", "the image does not have it: add the package locales "
                             "(Debian, Ubuntu) or glibc-langpack-LANGUAGE", name)
        charset = name.partition("@")[0].partition(".")[2] or "ISO-8859-1"
        tree.write("/etc/locale.gen", f"{name} {charset}\n")
        run_inside(tree.root, ["locale-gen"], f"{conf.where('node.locale')}: locale-gen fails for {name}")
        if not has_locale(tree, name):
            raise conf.wrong("node.locale", "is a locale that locale-gen does not make", name)
    tree.write("/etc/locale.conf", f"LANG={name}\n")
    if tree.exists("/etc/debian_version"):
        tree.write("/etc/default/locale", f"LANG={name}\n")


def has_locale(tree, name):
    """The locale as a directory, or in locale-archive, which has names in lower case and without dashes in the charset."""
    base, dot, charset = name.partition(".")
    short = base + dot + charset.lower().replace("-", "")
    if any(tree.exists(f"/usr/lib/locale/{one}") for one in (name, short)):
        return True
    archive = tree.resolve("/usr/lib/locale/locale-archive")
    if not os.path.exists(archive):
        return False
    with open(archive, "rb") as file:
        return b"\0" + short.encode() + b"\0" in file.read()


def set_timezone(tree, conf):
    zone = conf["node.timezone"]
    if not tree.exists(f"/usr/share/zoneinfo/{zone}"):
        if zone != "UTC":
            raise conf.wrong("node.timezone", "the image does not have it: is the package tzdata there?", zone)
        tree.remove("/etc/localtime")
    else:
        tree.symlink("/etc/localtime", f"/usr/share/zoneinfo/{zone}")
    if tree.exists("/etc/debian_version"):
        tree.write("/etc/timezone", f"{zone}\n")


def install_keys(tree, conf):
    """The node's trusted keys: the initramfs takes them along, and the first boot's script needs them."""
    for key in conf["node.keys"] or []:
        try:
            with open(key, encoding="ascii") as file:
                is_key = "-----BEGIN PUBLIC KEY-----" in file.read()
        except UnicodeDecodeError:
            is_key = False
        if not is_key:
            raise conf.wrong("node.keys", f"{key} is no public key in PEM")
        name = os.path.splitext(os.path.basename(key))[0]
        tree.copy_in(key, f"/etc/dlfuse/keys/{name}.pem")


def add_unit(tree, name, base=""):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        # systemd gives % and $ a meaning of its own.
        content = file.read().replace("@BASE@", base.rstrip("/").replace("%", "%%").replace("$", "$$"))
    tree.write(f"{UNITS}/{name}", content)
    tree.symlink(f"/etc/systemd/system/multi-user.target.wants/{name}", f"{UNITS}/{name}")


def install_firstboot(tree, conf):
    if not tree.exists("/usr/bin/dlfuse"):
        if not conf.programs:
            raise conf.wrong("firstboot.base", "needs dlfuse in the image: give kernel.dlfuse, or its package")
        tree.copy_in(os.path.join(conf.programs, "usr/bin/dlfuse"), "/usr/bin/dlfuse", 0o755)
    tree.copy_in(os.path.join(HERE, "firstboot.sh"), "/usr/lib/dlfuse/firstboot", 0o755)
    add_unit(tree, "dlfuse-firstboot.service", conf["firstboot.base"])


def remove_paths(tree, conf):
    for pattern in conf["system.remove"] or []:
        directory, name = os.path.split(pattern)
        found = glob.glob(os.path.join(glob.escape(tree.resolve(directory)), name), include_hidden=True)
        if not found:
            raise conf.wrong("system.remove", "is not in the image", pattern)
        for full in found:
            tree.remove(os.path.join(directory, os.path.basename(full)))


def copy_overlay(tree, conf):
    """Owners, modes and attributes are kept, times are the epoch's: those of a checkout mean nothing. A directory
    that the tree has keeps owner and mode: a checkout's umask must not open /etc or close /tmp."""
    source = conf["node.overlay"]
    as_root = conf["node.overlay_owner"] == "root"
    try:
        for directory, subdirectories, files in os.walk(source, onerror=raise_it):
            subdirectories.sort()
            for name in sorted(subdirectories + files):
                full = os.path.join(directory, name)
                copy_entry(tree, full, f"/{os.path.relpath(full, source)}", as_root)
    except OSError as error:
        raise Failure(f"{conf.where('node.overlay')}: {error.filename}: {error.strerror}") from None
    except Failure as failure:
        raise Failure(f"{conf.where('node.overlay')}: {failure}") from None


def raise_it(error):
    raise error


def copy_entry(tree, full, path, as_root):
    status = os.lstat(full)
    owner = (0, 0) if as_root else (status.st_uid, status.st_gid)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        if os.path.isdir(tree.resolve(path)):
            return
        here = tree.resolve(path, follow=False)
        if os.path.lexists(here) and not os.path.islink(here):
            raise Failure(f"{path} is a file in the image, and would be replaced by a directory; if that is meant, name it in "
                          "system.remove")
        tree.remove(path)
        tree.mkdir(path, mode, owner)
    elif stat.S_ISLNK(status.st_mode):
        tree.symlink(path, os.readlink(full))
        os.chown(tree.resolve(path, follow=False), *owner, follow_symlinks=False)
        return
    elif stat.S_ISREG(status.st_mode):
        tree.copy_in(full, path, mode, owner)
    else:
        tree.mkdir(os.path.dirname(path))
        tree.make_room(path)
        os.mknod(tree.resolve(path, follow=False), status.st_mode, status.st_rdev)
        os.chown(tree.resolve(path, follow=False), *owner)
        os.chmod(tree.resolve(path, follow=False), mode)
    for attribute in os.listxattr(full, follow_symlinks=False):
        os.setxattr(tree.resolve(path, follow=False), attribute, os.getxattr(full, attribute, follow_symlinks=False))


def foreign_owner(source):
    """A file in source that is not this user's; None where there is none."""
    for directory, subdirectories, files in os.walk(source):
        for name in subdirectories + files:
            full = os.path.join(directory, name)
            if os.lstat(full).st_uid != os.getuid():
                return full
    return None


def set_services(tree, conf):
    for verb in ("enable", "disable", "mask"):
        for unit in conf[f"node.{verb}"] or []:
            systemctl(tree, verb, unit, f"{conf.where(f'node.{verb}', unit)}: cannot {verb} {unit}")


def systemctl(tree, verb, unit, why):
    """The host's systemctl where there is one: it runs nothing of the tree."""
    if shutil.which("systemctl"):
        run(["systemctl", f"--root={tree.root}", "--quiet", verb, unit], why)
    elif tree.exists("/usr/bin/systemctl"):
        run_inside(tree.root, ["systemctl", "--quiet", verb, unit], why)
    else:
        raise Failure(f"{why}: systemctl is neither here nor in the image")


def run_hook(tree, conf):
    hook = conf["node.hook"]
    say(f"running {hook} in the image")
    run_inside(tree.root, ["/tmp/hook"], f"{conf.where('node.hook')}: {hook} fails", hook)


def forget(tree):
    """Removes the state of one machine, or of the build."""
    tree.write("/etc/machine-id", "", 0o444)
    if not os.path.islink(tree.resolve("/etc/resolv.conf", follow=False)):
        tree.write("/etc/resolv.conf", "")
    for path in FORGOTTEN:
        tree.remove(path)
    for path in ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf"):
        # Where a container had mounted its own file, an export has an empty one, with the mode of a program.
        full = tree.resolve(path, follow=False)
        if os.path.isfile(full) and not os.path.islink(full):
            os.chmod(full, os.stat(full).st_mode & 0o666)
    for pattern in ("etc/ssh/ssh_host_*", "var/cache/debconf/*-old", "boot/initrd.img*", "boot/initramfs-*",
                    "initrd.img*"):
        for full in glob.glob(os.path.join(glob.escape(tree.root), pattern)):
            tree.remove(os.path.relpath(full, tree.root))
    for directory, _, files in os.walk(tree.resolve("/var/log")):
        for name in files:
            full = os.path.join(directory, name)
            if os.path.isfile(full) and not os.path.islink(full):
                os.truncate(full, 0)


def set_clock(tree):
    """systemd sets a clock that is behind this file's time to it, before anything else runs. Other files for this are
    removed: they have another machine's time. A tree of 1970 says nothing: systemd sets a clock back that is 15 years
    later than the file."""
    if tree.exists("/usr/lib/systemd"):
        tree.remove("/usr/lib/clock-epoch")
    if tree.exists("/usr/lib/systemd") and tree.epoch >= EARLIEST_CLOCK:
        tree.write("/usr/lib/clock-epoch", "")
        os.utime(tree.resolve("/usr/lib/clock-epoch"), (tree.epoch, tree.epoch))

