/* dlfuse copy-attributes: one file's or directory's owner, mode, times and extended attributes for
 * another one. In an initramfs no other program has all of that: cp copies directories with their
 * contents, and leaves SELinux labels out where no policy is loaded. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fuse/commands.h"

/* The kernel's own limit for the list of names, and for a value. */
#define XATTR_MAX 65536

static int fail(const char *path, const char *what)
{
    fprintf(stderr, "dlfuse copy-attributes: %s: %s: %s\n", path, what, strerror(errno));
    return -1;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Attributes that are true of this place and of no other: overlayfs' notes, and a signature over
 * the inode's number. */
static bool stays(const char *name)
{
    return begins(name, "trusted.overlay.") || begins(name, "user.overlay.") ||
           strcmp(name, "security.evm") == 0;
}

static int copy_one(int from, int to, const char *path, const char *name, char *value)
{
    ssize_t size = fgetxattr(from, name, value, XATTR_MAX);
    if (size < 0)
        return errno == ENODATA ? 0 : fail(name, "cannot be read");
    if (fsetxattr(to, name, value, (size_t)size, 0) == 0)
        return 0;
    /* A tmpfs has none of these before Linux 6.6. */
    if (errno == EOPNOTSUPP && begins(name, "user."))
        return 0;
    return fail(path, name);
}

static int copy_xattrs(int from, int to, const char *path)
{
    char *names = malloc(2 * XATTR_MAX);
    ssize_t size = names ? flistxattr(from, names, XATTR_MAX) : -1;
    int rc = 0;
    if (size < 0 && !(names && errno == EOPNOTSUPP))
        rc = fail(path, "the extended attributes of its model cannot be listed");
    /* All of them, also behind one that fails. */
    for (ssize_t i = 0; i < size; i += (ssize_t)strlen(names + i) + 1)
        if (!stays(names + i) && copy_one(from, to, path, names + i, names + XATTR_MAX) < 0)
            rc = -1;
    free(names);
    return rc;
}

/* Times last, and attributes behind owner and mode: a new owner drops some, a mode changes an
 * ACL. */
static int copy_all(int from, int to, const char *path)
{
    struct stat st;
    if (fstat(from, &st) < 0)
        return fail(path, "its model cannot be looked at");
    if (fchown(to, st.st_uid, st.st_gid) < 0)
        return fail(path, "cannot change the owner");
    if (fchmod(to, st.st_mode & 07777) < 0)
        return fail(path, "cannot change the mode");
    int rc = copy_xattrs(from, to, path);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    if (futimens(to, times) < 0)
        return fail(path, "cannot change the times");
    return rc;
}

int dlf_cmd_copy_attributes(int argc, char **argv)
{
    int rc = -1;
    int to = -1;
    if (argc != 2 || argv[0][0] == '-') {
        fprintf(stderr, "usage: dlfuse copy-attributes FROM TO\n");
        return DLF_EXIT_USAGE;
    }
    int from = open(argv[0], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        fail(argv[0], "cannot be opened");
    else if ((to = open(argv[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
        fail(argv[1], "cannot be opened");
    else
        rc = copy_all(from, to, argv[1]);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return rc < 0 ? DLF_EXIT_FAILED : DLF_EXIT_OK;
}
