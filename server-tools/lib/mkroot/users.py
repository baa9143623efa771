"""Accounts: passwd, shadow, group and gshadow of the tree are edited as the text that they are, so that no program
of the tree runs, and the day of a password's change is the epoch's."""

import os
import shutil
import stat


def apply(tree, conf):
    """The users of the configuration, root's password and the keys for root's login."""
    for name, user in conf.users.items():
        add_user(tree, conf, name, user)
    if conf["root.password"] is not None:
        if field(tree, "/etc/shadow", "root", 1) is None:
            raise conf.wrong("root.password", "the image has no line for root in /etc/shadow")
        set_password(tree, "root", conf["root.password"])
    if conf["root.authorized_keys"]:
        authorize(tree, field(tree, "/etc/passwd", "root", 5) or "/root", conf["root.authorized_keys"], (0, 0))


def add_user(tree, conf, name, user):
    where = f"users.{name}"
    if not tree.read("/etc/passwd"):
        raise conf.wrong(where, "the image has no /etc/passwd")
    if field(tree, "/etc/passwd", name, 0) is not None:
        raise conf.wrong(where, "is a user of the image's packages", name)
    uid = user.get("uid") or free_id(tree)
    if uid in ids(tree, "/etc/passwd"):
        raise conf.wrong(f"{where}.uid", f"{uid} is another user's")
    gid = primary_group(tree, conf, name, uid)
    home = user.get("home", f"/home/{name}")
    shell = user.get("shell", "/bin/bash" if tree.exists("/bin/bash") else "/bin/sh")
    if not tree.exists(shell):
        raise conf.wrong(f"{where}.shell", f"the image has no {shell}")
    append(tree, "/etc/passwd", f"{name}:x:{uid}:{gid}:{user.get('comment', '')}:{home}:{shell}")
    append(tree, "/etc/shadow", f"{name}:!:{tree.epoch // 86400}:0:99999:7:::", mode=0o640)
    set_password(tree, name, user.get("password", "!"))
    for group in user.get("groups", []):
        join(tree, conf, f"{where}.groups", group, name)
    make_home(tree, home, (uid, gid))
    if user.get("authorized_keys"):
        authorize(tree, home, user["authorized_keys"], (uid, gid))


def primary_group(tree, conf, name, uid):
    """A group of the same name and, where that is free, number."""
    gid = field(tree, "/etc/group", name, 2)
    if gid is not None:
        return int(gid)
    if uid in ids(tree, "/etc/group"):
        raise conf.wrong(f"users.{name}.uid", f"{uid} is a group's number")
    append(tree, "/etc/group", f"{name}:x:{uid}:")
    if tree.exists("/etc/gshadow"):
        append(tree, "/etc/gshadow", f"{name}:!::")
    return uid


def join(tree, conf, where, group, name):
    if field(tree, "/etc/group", group, 0) is None:
        raise conf.wrong(where, "is no group of the image", group)
    for file in ("/etc/group", "/etc/gshadow"):
        members = [one for one in (field(tree, file, group, 3) or "").split(",") if one]
        set_field(tree, file, group, 3, ",".join([*members, name]))


def set_password(tree, name, password):
    set_field(tree, "/etc/shadow", name, 1, password)
    set_field(tree, "/etc/shadow", name, 2, str(tree.epoch // 86400))


def make_home(tree, home, owner):
    if tree.exists(home):
        return
    tree.mkdir(home, 0o700, owner)
    skeleton = tree.resolve("/etc/skel")
    full = tree.resolve(home)
    if os.path.isdir(skeleton):
        shutil.copytree(skeleton, full, symlinks=True, dirs_exist_ok=True)
        os.chmod(full, stat.S_IRWXU)
    for directory, subdirectories, files in os.walk(full):
        for one in subdirectories + files:
            os.chown(os.path.join(directory, one), *owner, follow_symlinks=False)


def authorize(tree, home, keys, owner):
    tree.mkdir(f"{home}/.ssh", 0o700, owner)
    tree.remove(f"{home}/.ssh/authorized_keys")
    tree.write(f"{home}/.ssh/authorized_keys", "".join(f"{key}\n" for key in keys), 0o600, owner)


def field(tree, file, name, index):
    """A field of name's line, None where there is no such line."""
    for line in tree.read(file):
        fields = line.split(":")
        if fields[0] == name:
            return fields[index] if index < len(fields) else ""
    return None


def set_field(tree, file, name, index, value):
    """Changes a field of name's line, if there is such a line."""
    lines = tree.read(file)
    for at, line in enumerate(lines):
        fields = line.split(":")
        if fields[0] == name and index < len(fields):
            fields[index] = value
            lines[at] = ":".join(fields)
            tree.write(file, "".join(f"{one}\n" for one in lines))


def append(tree, file, line, mode=0o644):
    tree.write(file, "".join(f"{one}\n" for one in [*tree.read(file), line]), mode)


def ids(tree, file):
    numbers = (line.split(":")[2] for line in tree.read(file) if line.count(":") >= 2)
    return {int(number) for number in numbers if number.isdigit()}


def free_id(tree):
    used = ids(tree, "/etc/passwd") | ids(tree, "/etc/group")
    return next(number for number in range(1000, 60000) if number not in used)
