/*
 * A mount is taken out of the tree in each way that it can end, also under the filter of system
 * calls. No other mount ever is. No server is needed here: none is asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/harden.h"
#include "fuse/mountpoint.h"

static char directory[] = "/tmp/dlfuse-mountpoint.XXXXXX";

/* The mounts at the directory, from below. */
static unsigned mounts(char types[64])
{
    char line[4096];
    char at[PATH_MAX];
    char type[32];
    unsigned count = 0;
    FILE *f = fopen("/proc/self/mounts", "re");
    assert_non_null(f);
    *types = 0;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%*s %4095s %31s", at, type) != 2 || strcmp(at, directory) != 0)
            continue;
        snprintf(types + strlen(types), 64 - strlen(types), "%s%s", count++ ? " " : "", type);
    }
    fclose(f);
    return count;
}

static void assert_mounted(const char *expected)
{
    char types[64];
    mounts(types);
    assert_string_equal(types, expected);
}

static int open_here(struct dlf_mountpoint *m)
{
    const struct dlf_mountpoint_config config = {
        .directory = directory,
        .source = "http://server/image.dlfuse",
        .type = "dlfuse",
        .max_read_bytes = 1 << 20,
    };
    struct dlf_err err = {.msg = ""};
    memset(m, 0, sizeof(*m));
    int fd = dlf_mountpoint_open(m, &config, &err);
    if (fd < 0)
        fail_msg("%s", err.msg);
    assert_true(fd > 2);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(m->state, DLF_MOUNTPOINT_SHOWN);
    assert_mounted("fuse.dlfuse");
    return fd;
}

static void mount_another(void)
{
    assert_int_equal(mount("another", directory, "tmpfs", 0, NULL), 0);
}

static void unmount_another(void)
{
    assert_int_equal(umount2(directory, 0), 0);
}

static void test_hide(void **state)
{
    struct dlf_mountpoint m;
    (void)state;
    int fd = open_here(&m);
    assert_int_equal(dlf_mountpoint_hide(&m), 0);
    assert_int_equal(m.state, DLF_MOUNTPOINT_HIDDEN);
    assert_mounted("");
    mount_another();
    assert_int_equal(dlf_mountpoint_hide(&m), 0);
    assert_mounted("tmpfs");
    unmount_another();
    close(fd);
}

static void test_never_there(void **state)
{
    struct dlf_mountpoint m = {.state = DLF_MOUNTPOINT_AWAY};
    const struct dlf_mountpoint_config config = {
        .directory = "/nowhere/to/mount", .source = "s", .type = "dlfuse"};
    struct dlf_err err = {.msg = ""};
    (void)state;
    assert_int_equal(dlf_mountpoint_open(&m, &config, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/nowhere/to/mount: cannot be mounted on: "));
    assert_int_equal(dlf_mountpoint_hide(&m), 0);
}

/* The connection is gone, and the next mount gets its freed device number. */
static void test_unmounted_by_others(void **state)
{
    struct dlf_mountpoint m;
    (void)state;
    int fd = open_here(&m);
    assert_int_equal(umount2(directory, 0), 0);
    mount_another();
    assert_int_equal(dlf_mountpoint_hide(&m), -EINVAL);
    assert_mounted("tmpfs");
    unmount_another();
    assert_int_equal(dlf_mountpoint_hide(&m), -EINVAL);
    close(fd);
}

/* A file of it is still open, so the connection lives. */
static void test_unmounted_in_use(void **state)
{
    struct dlf_mountpoint m;
    (void)state;
    int fd = open_here(&m);
    int used = open(directory, O_PATH | O_CLOEXEC);
    assert_true(used >= 0);
    assert_int_equal(umount2(directory, MNT_DETACH), 0);
    assert_int_equal(dlf_mountpoint_hide(&m), -EINVAL);
    mount_another();
    assert_int_equal(dlf_mountpoint_hide(&m), -EINVAL);
    assert_mounted("tmpfs");
    unmount_another();
    close(used);
    close(fd);
}

static void test_covered(void **state)
{
    struct dlf_mountpoint m;
    (void)state;
    int fd = open_here(&m);
    mount_another();
    assert_int_equal(dlf_mountpoint_hide(&m), -EINVAL);
    assert_mounted("fuse.dlfuse tmpfs");
    unmount_another();
    assert_int_equal(dlf_mountpoint_hide(&m), 0);
    assert_mounted("");
    close(fd);
}

/* umount -f ends the connection, and then finds that the mount is in use. */
static void test_aborted(void **state)
{
    struct dlf_mountpoint m;
    (void)state;
    int fd = open_here(&m);
    int used = open(directory, O_PATH | O_CLOEXEC);
    assert_true(used >= 0);
    assert_int_equal(umount2(directory, MNT_FORCE), -1);
    assert_int_equal(errno, EBUSY);
    assert_mounted("fuse.dlfuse");
    assert_int_equal(dlf_mountpoint_hide(&m), 0);
    assert_mounted("");
    close(used);
    close(fd);
}

/* As libfuse 3.17 does not: without fork and exec, which the filter refuses. */
static void test_filtered(void **state)
{
    struct dlf_mountpoint m;
    int status;
    (void)state;
    int fd = open_here(&m);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct dlf_err err;
        if (dlf_harden_filter(DLF_USE_HANDOVER, &err) < 0)
            _exit(2);
        _exit(dlf_mountpoint_hide(&m) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_mounted("");
    close(fd);
}

static void test_closed_terminal(void **state)
{
    struct dlf_mountpoint m;
    (void)state;
    int kept = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
    close(STDIN_FILENO);
    int fd = open_here(&m);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    if (kept >= 0)
        assert_int_equal(dup2(kept, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(dlf_mountpoint_hide(&m), 0);
    close(kept);
    close(fd);
}

/* A mount namespace of its own: a failed test leaves nothing behind. */
static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(directory) || unshare(CLONE_NEWNS) < 0)
        return -1;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hide),
        cmocka_unit_test(test_never_there),
        cmocka_unit_test(test_unmounted_by_others),
        cmocka_unit_test(test_unmounted_in_use),
        cmocka_unit_test(test_covered),
        cmocka_unit_test(test_aborted),
        cmocka_unit_test(test_filtered),
        cmocka_unit_test(test_closed_terminal),
    };
    if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) < 0) {
        puts("SKIP: needs root and /dev/fuse");
        return 77;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
