"""The node's programs, kernel.dlfuse: a directory with their .deb packages, or a tree of 'cmake --install'. They run in the image, or
nothing is made: those of another release need libraries that it does not have."""

import glob
import os
import re

from .run import Failure, need, run, run_inside

PROGRAM = "usr/bin/dlfuse"
MODULE = "usr/lib/dracut/modules.d/90dlfuse"
PACKAGES = ("dlfuse", "dlfuse-dracut")
# A tree does not name its dependencies. Each release of Debian and Ubuntu has these names; fuse3 and curl bring the libraries,
# the packages of which have a different name in each.
LIBRARIES = ["fuse3", "curl", "liblz4-1", "libxxhash0", "libseccomp2"]


def files(place, package):
    return glob.glob(os.path.join(glob.escape(place), f"{package}_*.deb"))


def has_packages(place):
    return bool(place and files(place, "dlfuse"))


def check(conf):
    place = conf["kernel.dlfuse"]
    if has_packages(place):
        need("dpkg-deb", "dpkg")
        for package in PACKAGES:
            found = len(files(place, package))
            if found != 1:
                raise conf.wrong("kernel.dlfuse", f"has {found or 'no'} packages {package}_*.deb; one is needed", place)
    elif place is not None:
        if not os.access(os.path.join(place, PROGRAM), os.X_OK):
            raise conf.wrong("kernel.dlfuse", f"has neither packages (dlfuse_*.deb) nor {PROGRAM}; make a tree by: DESTDIR=DIR "
                             "cmake --install BUILD --prefix /usr", place)
        if not os.path.isdir(os.path.join(place, MODULE)):
            raise conf.wrong("kernel.dlfuse", f"has no {MODULE}; install with --prefix /usr", place)


def dependencies(conf):
    """Names of the packages that the image must have for them."""
    place = conf["kernel.dlfuse"]
    if not has_packages(place):
        return LIBRARIES
    fields = [run(["dpkg-deb", "-f", file, "Depends"], f"{file} cannot be read")
              for file in (files(place, package)[0] for package in PACKAGES)]
    # Of "a (>= 1) | b, c": a and c.
    names = re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9.+-]*)", ",".join(fields))
    return [name for name in dict.fromkeys(names) if name not in PACKAGES]


def not_found(conf, failure):
    """failure of the package installer, with a text of its own where a dependency of these packages is missing."""
    match = re.search(r"Unable to locate package (\S+)$", str(failure))
    if not match or not has_packages(conf["kernel.dlfuse"]) or match[1] not in dependencies(conf):
        return failure
    release = conf["system.release"]
    return conf.wrong("kernel.dlfuse", f"needs {match[1]}, which {release} does not have; 'packaging/debs {release}' makes packages for it",
                      conf["kernel.dlfuse"])


def unpack(conf, work):
    """Sets conf.programs, the tree that goes into the initramfs; None where the image has all programs."""
    place = conf["kernel.dlfuse"]
    if has_packages(place):
        conf.programs = os.path.join(work, "programs")
        for package in PACKAGES:
            run(["dpkg-deb", "-x", files(place, package)[0], conf.programs], f"{files(place, package)[0]} cannot be unpacked")
    else:
        conf.programs = place


def check_image(tree, conf):
    """dracut would leave out files that dlfuse cannot do without, and say nothing."""
    if not conf["kernel.initramfs"] and not conf["firstboot.base"]:
        return
    program = os.path.join(conf.programs, PROGRAM) if conf.programs else None
    if not program and not tree.exists(f"/{PROGRAM}"):
        return
    inside = "/tmp/hook" if program else f"/{PROGRAM}"
    # The loader's message names the first library that it does not find.
    printed = run_inside(tree.root, ["sh", "-c", '"$0" --version || echo "$0 fails"', inside], "sh fails", program).splitlines()
    if f"{inside} fails" in printed:
        reason = re.sub(rf"^{inside}: (error while loading shared libraries: )?", "", printed[0]).replace(inside, PROGRAM)
        if not program:
            raise Failure(f"/{PROGRAM} does not run in the image: {reason}")
        raise conf.wrong("kernel.dlfuse", f"does not run in the image: {reason}; take packages for its release ('packaging/debs RELEASE' makes "
                         "some), or add what they need to system.packages", conf["kernel.dlfuse"])
