# shellcheck shell=bash disable=SC2034 # set here, used by who sources this
# A root filesystem of a few files, as an input for dlfuse-mkroot: a shell that runs, accounts, units; dracut,
# ldconfig, ldd, kmod, depmod and locale-gen are scripts that leave a note. Needs root.
#
#   small_tree DIR           makes it
#   small_libraries DIR PROGRAM [ROOT]  the libraries of this program; in the system below ROOT
#   small_dlfuse DIR         the files of 'cmake --install', as far as mkroot looks
#   pack_tree DIR FILE       as a tarball, with attributes
#   pack_reversed DIR FILE   the same files, the last one first
#   describe DIR             a line for each file: type, mode, owner, time, content, attributes

MKROOT=$SOURCE_DIR/server-tools/dlfuse-mkroot

set_attribute() {
    python3 -c 'import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]), follow_symlinks=False)' "$@"
}

small_libraries() {
    local library root=${3:-/}
    while read -r library; do
        mkdir -p "$1$(dirname "$library")"
        cp -L "$root$library" "$1$library"
    done < <(chroot "$root" ldd "$2" | grep -o '/[^ ]*')
}

small_tree() {
    local tree=$1 name
    mkdir -p "$tree"/{boot,dev,home,root,srv} "$tree"/etc/{ssh,skel,systemd/system,ssl/private} \
        "$tree"/usr/{bin,sbin,lib/systemd/system,lib/locale,lib/modules/6.1.0-9-test,lib/modules/6.1.0-10-test,lib64} \
        "$tree"/usr/share/{doc/thing,zoneinfo/Europe} "$tree"/var/{log/nginx,lib/dbus,lib/systemd,cache/debconf}
    ln -s usr/bin "$tree/bin"
    ln -s usr/sbin "$tree/sbin"
    ln -s usr/lib "$tree/lib"
    ln -s usr/lib64 "$tree/lib64"
    cp /bin/dash "$tree/usr/bin/sh"
    small_libraries "$tree" /bin/dash
    for name in dracut ldconfig ldd kmod depmod locale-gen sshd ssh-keygen; do
        printf '#!/bin/sh\n' >"$tree/usr/sbin/$name"
        chmod 755 "$tree/usr/sbin/$name"
    done
    # dracut: writes its arguments and the modules in place of an initramfs. Its last argument but one is the file.
    # shellcheck disable=SC2016
    echo 'all=$*; while [ $# -gt 2 ]; do shift; done; echo "$all" /lib/modules/$2/* >"$1"' >>"$tree/usr/sbin/dracut"
    mv "$tree/usr/sbin/kmod" "$tree/usr/bin/"
    echo 'echo "+ZSTD +XZ"' >>"$tree/usr/bin/kmod"
    # shellcheck disable=SC2016
    echo 'cd "/lib/modules/$1" && echo * >modules.dep' >>"$tree/usr/sbin/depmod"
    for name in plain other; do
        echo "module $name" >"$tree/usr/lib/modules/6.1.0-10-test/$name.ko"
    done
    echo xz >"$tree/usr/lib/modules/6.1.0-10-test/ready.ko.xz"
    ln -s plain.ko "$tree/usr/lib/modules/6.1.0-10-test/link.ko"
    # shellcheck disable=SC2016
    echo 'while read -r name charset; do [ "$charset" != UTF-8 ] || : >"/usr/lib/locale/$name"; done </etc/locale.gen' >>"$tree/usr/sbin/locale-gen"
    for name in 6.1.0-9 6.1.0-10; do
        echo "kernel $name" >"$tree/boot/vmlinuz-$name-test"
    done
    for name in nginx rsyslog cron; do
        printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' \
            >"$tree/usr/lib/systemd/system/$name.service"
    done
    mkdir "$tree/etc/systemd/system/multi-user.target.wants"
    ln -s /usr/lib/systemd/system/rsyslog.service "$tree/etc/systemd/system/multi-user.target.wants/"
    printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\n' >"$tree/etc/passwd"
    printf 'root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n' >"$tree/etc/shadow"
    printf 'root:x:0:\ndaemon:x:1:\nadm:x:4:daemon\n' >"$tree/etc/group"
    printf 'root:*::\ndaemon:*::\nadm:*::daemon\n' >"$tree/etc/gshadow"
    chmod 640 "$tree/etc/shadow" "$tree/etc/gshadow"
    chown 0:42 "$tree/etc/shadow"
    chmod 710 "$tree/etc/ssl/private"
    echo 12 >"$tree/etc/debian_version"
    echo 0123456789abcdef0123456789abcdef >"$tree/etc/machine-id"
    echo builder >"$tree/etc/hostname"
    echo "nameserver 192.0.2.1" >"$tree/etc/resolv.conf"
    echo secret >"$tree/etc/ssh/ssh_host_ed25519_key"
    echo "alias" >"$tree/etc/skel/.profile"
    echo TZif >"$tree/usr/share/zoneinfo/Europe/Paris"
    echo word >"$tree/usr/share/doc/thing/README"
    echo line >"$tree/var/log/nginx/access.log"
    echo seed >"$tree/var/lib/systemd/random-seed"
    echo node >"$tree/dev/left"
    # Properties that copies lose easily.
    echo run >"$tree/usr/bin/suid" && chmod 4755 "$tree/usr/bin/suid"
    echo ping >"$tree/usr/bin/ping"
    # CAP_NET_RAW, effective, revision 2
    set_attribute "$tree/usr/bin/ping" security.capability 0100000200200000000000000000000000000000
    ln "$tree/usr/bin/ping" "$tree/usr/bin/ping4"
    echo odd >"$tree/srv/a name with spaces"
    echo odd >"$tree/srv/"$'not\xff''UTF-8'
    ln -s nowhere "$tree/srv/dangling"
    truncate -s 1M "$tree/srv/sparse"
    # A link that would lead out of the tree.
    mkdir "$tree/srv/real"
    ln -s /srv/real "$tree/srv/absolute"
    mkdir -m 1777 "$tree/tmp"
    find "$tree" -exec touch -h -d 2020-02-02 {} +
    # Newer than the image's time.
    touch "$tree/etc/debian_version"
}

small_dlfuse() {
    mkdir -p "$1/usr/bin" "$1/usr/lib/dracut/modules.d/90dlfuse"
    printf '#!/bin/sh\n' >"$1/usr/bin/dlfuse"
    chmod 755 "$1/usr/bin/dlfuse"
}

pack_tree() {
    tar -C "$1" --numeric-owner --xattrs --xattrs-include='*' -cf "$2" .
}

pack_reversed() {
    (cd "$1" && find . -print0 | LC_ALL=C sort -zr) |
        tar -C "$1" --numeric-owner --xattrs --xattrs-include='*' --null --no-recursion -T - -cf "$2"
}

describe() {
    python3 - "$1" <<'END' | LC_ALL=C sort
import hashlib, os, stat, sys
for directory, names, files in os.walk(os.fsencode(sys.argv[1])):
    if b"lost+found" in names:
        names.remove(b"lost+found")
    for name in sorted(names + files):
        path = os.path.join(directory, name)
        s = os.lstat(path)
        content = ""
        if stat.S_ISREG(s.st_mode):
            content = f"{s.st_nlink} {s.st_size} " + hashlib.sha256(open(path, "rb").read()).hexdigest()
        elif stat.S_ISLNK(s.st_mode):
            content = os.readlink(path)
        attributes = {name: os.getxattr(path, name, follow_symlinks=False)
                      for name in sorted(os.listxattr(path, follow_symlinks=False))}
        print(os.path.relpath(path, os.fsencode(sys.argv[1])), oct(s.st_mode), s.st_uid, s.st_gid, int(s.st_mtime), content,
              attributes)
END
}
