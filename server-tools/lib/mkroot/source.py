"""Where the tree comes from: mmdebstrap, dnf, or a tarball. Every way goes through a tarball, which is kept where the
configuration names one, with a note of its inputs beside it (FILE.recipe)."""

import os
import shlex
import subprocess
import time

from . import programs, scratch
from .run import Crash, Failure, need, run, say

# Without a configuration file: the packages of a small server, and those for dracut and dlfuse when the initramfs is made.
SERVER_PACKAGES = (
    "systemd,systemd-sysv,openssh-server,nginx-light,python3,rsyslog,cron,dbus,udev,kmod,procps,iproute2,"
    "linux-image-amd64,dracut,dracut-network,dracut-live,curl,zstd,ca-certificates").split(",")

# With one: the packages to start a node and to make its initramfs. Packages under other names are the file's business.
BASE_PACKAGES = ["systemd", "systemd-sysv", "dbus", "udev", "kmod", "procps", "iproute2"]
BASE_PACKAGES_RPM = ["systemd", "systemd-udev", "kmod", "procps-ng", "iproute", "passwd"]
DRACUT_PACKAGES = ["dracut", "dracut-network", "dracut-live", "zstd"]
DRACUT_PACKAGES_RPM = ["dracut", "dracut-network", "dracut-live", "zstd"]

VARIANT_GROUPS = {"@required": "minbase", "@important": "important", "@standard": "standard"}
EXCLUDE_FILE = "/etc/apt/preferences.d/dlfuse-mkroot-exclude"


def kernel_package(conf):
    if conf["kernel.package"]:
        return [] if conf["kernel.package"] == "none" else [conf["kernel.package"]]
    if conf["system.distribution"] == "rpm":
        return ["kernel-core", "kernel-modules"]
    if conf["system.distribution"] == "ubuntu":
        return ["linux-image-generic"]
    architecture = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, check=False, text=True)
    return [f"linux-image-{architecture.stdout.strip() or 'amd64'}"]


def base_packages(conf):
    """The packages of every image, unless system.base is false."""
    if not conf["system.base"]:
        return []
    if conf.file is None and conf["system.distribution"] == "debian":
        return SERVER_PACKAGES + programs.dependencies(conf)
    rpm = conf["system.distribution"] == "rpm"
    packages = list(BASE_PACKAGES_RPM if rpm else BASE_PACKAGES)
    kernel = kernel_package(conf)
    if kernel:
        packages += kernel
        if conf["kernel.initramfs"]:
            packages += DRACUT_PACKAGES_RPM if rpm else DRACUT_PACKAGES
            if conf["kernel.dlfuse"] and not rpm:
                packages += programs.dependencies(conf) + ["ca-certificates"]
    return packages


def wanted(conf):
    """Packages and groups, each once, in the order of their first mention."""
    return list(dict.fromkeys(base_packages(conf) + (conf["system.packages"] or [])))


def debian_request(conf):
    """(variant, packages) for mmdebstrap: groups are variants and tasks."""
    variant = conf["system.variant"]
    packages = []
    for name in wanted(conf):
        if name in VARIANT_GROUPS:
            variant = VARIANT_GROUPS[name]
        else:
            packages.append(f"task-{name[1:]}" if name.startswith("@") else name)
    return variant, packages


def recipe(conf):
    """The inputs of the tarball. Lines for settings other than the default come last, so that old notes stay valid."""
    variant, packages = debian_request(conf)
    lines = [conf["system.release"], "\n".join(conf["system.mirror"] or [""]), ",".join(packages)]
    if conf["system.distribution"] != "debian":
        lines.append(f"distribution {conf['system.distribution']}")
        lines.append(f"groups {' '.join(wanted(conf))}")
    if variant != "minbase":
        lines.append(f"variant {variant}")
    if conf["system.exclude"]:
        lines.append(f"without {' '.join(conf['system.exclude'])}")
    if conf["system.keyring"]:
        lines.append(f"keyring {conf['system.keyring']}")
    return "\n".join(lines) + "\n"


def fits(conf):
    """The tarball exists and was made from the same inputs; a tarball that is the source itself always fits."""
    tarball = conf["system.tarball"]
    if conf["system.distribution"] == "tarball":
        return True
    if not tarball or not os.path.exists(tarball):
        return False
    try:
        with open(f"{tarball}.recipe", encoding="utf-8") as file:
            return file.read().rstrip("\n") == recipe(conf).rstrip("\n")
    except OSError:
        return False


def check(conf):
    """Every check that is possible before anything is built."""
    kind = conf["system.distribution"]
    if kind != "tarball" and conf["system.release"] is None:
        raise conf.wrong("system.distribution", "needs system.release, which is not this machine's", kind)
    if kind == "tarball":
        if not conf["system.tarball"]:
            raise conf.wrong("system.distribution", "needs system.tarball, the tree that is to be used", kind)
        if not os.path.isfile(conf["system.tarball"]):
            raise conf.wrong("system.tarball", "is not there", conf["system.tarball"])
    elif kind == "rpm":
        if not conf["system.mirror"]:
            raise conf.wrong("system.distribution", "needs system.mirror, the URLs of its repositories", kind)
        if not fits(conf):
            need("dnf", "dnf")
    elif not fits(conf):
        need("mmdebstrap", "mmdebstrap")


def make_with_mmdebstrap(conf, work, target):
    """target: the tarball's path. Not as root mmdebstrap makes a user namespace of its own."""
    variant, packages = debian_request(conf)
    say(f"building {conf['system.release']} with mmdebstrap")
    argv = ["mmdebstrap", f"--variant={variant}", "--format=tar"]
    if packages:
        argv.append(f"--include={','.join(packages)}")
    if conf["system.keyring"]:
        argv.append(f"--keyring={conf['system.keyring']}")
    if conf["system.exclude"]:
        pins = os.path.join(work, "exclude")
        with open(pins, "w", encoding="utf-8") as file:
            for name in conf["system.exclude"]:
                file.write(f"Package: {name}\nPin: release *\nPin-Priority: -1\n\n")
        argv.append(f"--setup-hook=upload {shlex.quote(pins)} {EXCLUDE_FILE}")
    new = scratch.make_file(target)
    try:
        # INITRD=No: the kernel package's hook would make an initramfs that no machine boots.
        env = {"SOURCE_DATE_EPOCH": str(int(time.time())), **os.environ, "INITRD": "No"}
        try:
            run([*argv, conf["system.release"], new, *(conf["system.mirror"] or [])],
                f"mmdebstrap failed for {conf['system.release']}", env)
        except Failure as failure:
            raise programs.not_found(conf, failure) from None
        keep(conf, new, target)
    finally:
        drop(new)


def make_with_dnf(conf, work, target):
    """Needs to be root, in a user namespace if not on the host: packages have scripts and owners."""
    say(f"building {conf['system.release']} with dnf")
    root = os.path.join(work, "dnf")
    os.mkdir(root)
    argv = ["dnf", "--quiet", "--assumeyes", f"--installroot={root}", f"--releasever={conf['system.release']}",
            "--setopt=install_weak_deps=False", "--setopt=tsflags=nodocs", "--setopt=reposdir=/dev/null",
            f"--setopt=cachedir={work}/dnf-cache", f"--setopt=logdir={work}", "--setopt=keepcache=False"]
    for number, url in enumerate(conf["system.mirror"]):
        argv += [f"--repofrompath=dlfuse{number},{url}", f"--repo=dlfuse{number}"]
        if conf["system.keyring"]:
            argv += [f"--setopt=dlfuse{number}.gpgcheck=1",
                     f"--setopt=dlfuse{number}.gpgkey=file://{os.path.abspath(conf['system.keyring'])}"]
        else:
            argv.append(f"--setopt=dlfuse{number}.gpgcheck=0")
    argv += [f"--exclude={name}" for name in conf["system.exclude"] or []]
    groups = [name for name in wanted(conf) if name.startswith("@")]
    try:
        run([*argv, "install", *wanted(conf)], "dnf failed")
    except Crash as crash:
        if not groups:
            raise
        raise Failure(f"{crash}, as Debian 13's dnf does for each group: name the packages in place of {groups[0]}") from None
    for name in ("var/cache/dnf", "var/lib/dnf", "var/log"):
        run(["rm", "-rf", "--one-file-system", os.path.join(root, name)], f"{name} cannot be removed")
    new = scratch.make_file(target)
    try:
        run(["tar", "-C", root, "--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-cf", new, "."],
            f"cannot write {target}")
        keep(conf, new, target)
    finally:
        drop(new)
    run(["rm", "-rf", "--one-file-system", root], f"{root} cannot be removed")


# A directory of these names is a part of a root filesystem, not a directory that contains one.
OF_A_ROOT = ("bin", "sbin", "usr", "etc", "lib")
OF_ANY_ROOT = (*OF_A_ROOT, "boot", "dev", "home", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc", "root", "run", "srv",
               "sys", "tmp", "var")
# The parts of containers' images; docker export and podman export make a tree of one.
IMAGE_FILES = ("manifest.json", "index.json", "oci-layout", "blobs", "repositories")


def begins_with_root(tarball):
    """Whether a member is, or is in, a directory of a root, so that none of the other first parts is a directory
    above one. Members come in any order: all are checked, until there is one."""
    child = subprocess.Popen(["tar", "-tf", tarball], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, errors="surrogateescape")
    try:
        for line in child.stdout:
            parts = [part for part in line.rstrip("\n").split("/") if part not in ("", ".")]
            if parts and parts[0] in OF_ANY_ROOT:
                return True
        return False
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def unpack(tarball, root):
    os.mkdir(root)
    # A user cannot make devices, and no tree keeps its /dev. Of directories beside the tree none is kept.
    above = ["", "./"] if begins_with_root(tarball) else ["", "./", "*/", "./*/"]
    run(["tar", "-C", root, "-x", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--anchored", "--no-wildcards-match-slash",
         *(f"--exclude={one}dev/*" for one in above), "-pf", tarball], f"cannot unpack {tarball}: remove it to have it built again")
    os.chmod(root, 0o755)
    lift(tarball, root)
    if os.path.isdir(os.path.join(root, "dev")) and not os.path.islink(os.path.join(root, "dev")):
        run(["find", os.path.join(root, "dev"), "-mindepth", "1", "-delete"], f"{root}/dev cannot be emptied")
    # A file that --exclude needs while mmdebstrap runs; not every variant has hooks at the end.
    if os.path.exists(root + EXCLUDE_FILE):
        os.unlink(root + EXCLUDE_FILE)


def is_root(directory):
    return any(os.path.lexists(os.path.join(directory, name)) for name in OF_A_ROOT)


def lift(tarball, root):
    """Where all of the tree is below one directory, as in a tarball of that directory, this directory is the tree."""
    if is_root(root):
        return
    names = sorted(os.listdir(root))
    if any(name in names for name in IMAGE_FILES):
        raise Failure(f"{tarball} is a container's image, not its files; make a container of it, and a tarball with "
                      "'docker export' or 'podman export'")
    roots = [name for name in names if is_root(os.path.join(root, name)) and not os.path.islink(os.path.join(root, name))]
    if len(names) == 1 and not roots and os.path.isdir(os.path.join(root, names[0])):
        return lift_one(tarball, root, names[0])
    if len(roots) != 1:
        raise Failure(f"{tarball} has no root filesystem: neither /usr nor /bin nor /etc, but {', '.join(names[:5]) or 'nothing'}")
    others = [name for name in names if name != roots[0]]
    say(f"the tree is what {tarball} has in {roots[0]}/" + (f"; left out: {', '.join(others)}" if others else ""))
    lift_one(tarball, root, roots[0])


def lift_one(tarball, root, name):
    aside = f"{root}.above"
    os.rename(root, aside)
    os.rename(os.path.join(aside, name), root)
    run(["rm", "-rf", "--one-file-system", aside], f"{aside} cannot be removed")
    os.chmod(root, 0o755)
    lift(tarball, root)


def keep(conf, new, target):
    os.chmod(new, 0o644)
    os.replace(new, target)
    with open(f"{target}.recipe", "w", encoding="utf-8") as file:
        file.write(recipe(conf))


def drop(path):
    if os.path.exists(path):
        os.unlink(path)
