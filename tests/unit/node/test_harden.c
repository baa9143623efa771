/*
 * Calls that are refused after hardening, and calls that still work. Each test hardens a child of
 * its own: there is no way back.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/reboot.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/harden.h"
#include "fuse/names.h"

/* In a child cmocka's asserts cannot be used. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition,      \
                    errno);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define EXPECT_REFUSED(call)                                                                       \
    do {                                                                                           \
        errno = 0;                                                                                 \
        EXPECT((long)(call) == -1 && errno == ENOSYS);                                             \
    } while (0)

static void in_child(void (*body)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void filter(unsigned uses)
{
    struct dlf_err err = {.msg = ""};
    if (dlf_harden_filter(uses, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        _exit(1);
    }
}

static void programs_and_processes(void)
{
    char *const argv[] = {"true", NULL};
    filter(DLF_USE_HANDOVER | DLF_USE_RENAME);
    EXPECT_REFUSED(execve("/bin/true", argv, NULL));
    EXPECT_REFUSED(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0));
    EXPECT_REFUSED(unshare(CLONE_NEWUSER));
    EXPECT_REFUSED(setns(0, 0));
    EXPECT_REFUSED(syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0));
    EXPECT_REFUSED(syscall(SYS_pidfd_open, getppid(), 0));
    EXPECT_REFUSED(syscall(SYS_setuid, 0));
#ifndef DLFUSE_SANITIZED
    EXPECT_REFUSED(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
    EXPECT_REFUSED(kill(getppid(), 0));
    EXPECT_REFUSED(syscall(SYS_tgkill, getppid(), getppid(), 0));
    EXPECT_REFUSED(fork());
    EXPECT_REFUSED(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
#endif
    EXPECT_REFUSED(syscall(SYS_clone3, NULL, 0));
}

static void the_kernel(void)
{
    filter(DLF_USE_HANDOVER | DLF_USE_RENAME | DLF_USE_ENDING);
    EXPECT_REFUSED(mount("none", "/nowhere", "tmpfs", 0, NULL));
    EXPECT_REFUSED(syscall(SYS_pivot_root, "/nowhere", "/nowhere"));
    EXPECT_REFUSED(chroot("/nowhere"));
    EXPECT_REFUSED(syscall(SYS_init_module, NULL, 0, ""));
    EXPECT_REFUSED(syscall(SYS_finit_module, -1, "", 0));
    EXPECT_REFUSED(syscall(SYS_kexec_load, 0, 0, NULL, 0));
    EXPECT_REFUSED(syscall(SYS_reboot, 0, 0, 0, NULL));
    EXPECT_REFUSED(syscall(SYS_bpf, 0, NULL, 0));
    EXPECT_REFUSED(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0));
    EXPECT_REFUSED(syscall(SYS_io_uring_setup, 1, NULL));
    EXPECT_REFUSED(syscall(SYS_userfaultfd, 0));
    EXPECT_REFUSED(syscall(SYS_add_key, "", "", NULL, 0, 0));
    EXPECT_REFUSED(syscall(SYS_seccomp, 0, 0, NULL));
#ifndef DLFUSE_SANITIZED
    EXPECT_REFUSED(syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0));
#endif
}

static void files_and_memory(void)
{
    filter(DLF_USE_HANDOVER);
    EXPECT(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
    EXPECT(syscall(SYS_close_range, 1000, 1001, 0) == 0);
#ifndef DLFUSE_SANITIZED
    EXPECT_REFUSED(open("/dev/null", O_WRONLY));
    EXPECT_REFUSED(open("/dev/null", O_RDWR));
    EXPECT_REFUSED(open("/tmp", O_TMPFILE | O_RDWR, 0600));
    EXPECT_REFUSED(open("/dev/null", O_RDONLY | O_CREAT, 0600));
    EXPECT_REFUSED(open("/dev/null", O_RDONLY | O_TRUNC));
#endif
    EXPECT_REFUSED(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0));
    EXPECT_REFUSED(syscall(SYS_open_by_handle_at, -1, NULL, 0));
    EXPECT_REFUSED(rename("/nowhere/a", "/nowhere/b"));
    EXPECT_REFUSED(unlink("/nowhere/a"));
    EXPECT_REFUSED(symlink("a", "/nowhere/b"));
    EXPECT_REFUSED(chmod("/nowhere/a", 0));
    EXPECT_REFUSED(mknod("/nowhere/a", S_IFREG, 0));
    EXPECT_REFUSED(memfd_create("a", 0));
}

/* No memory becomes executable: neither written memory nor any file. */
static void executable_memory(void)
{
    int memory = memfd_create("image", MFD_CLOEXEC);
    int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *data = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(memory >= 0 && program >= 0 && data != MAP_FAILED && ftruncate(memory, 4096) == 0);
    filter(DLF_USE_HANDOVER | DLF_USE_RENAME | DLF_USE_ENDING);
    static const int types[] = {MAP_PRIVATE, MAP_SHARED};
    static const int protections[] = {PROT_EXEC, PROT_READ | PROT_EXEC,
                                      PROT_READ | PROT_WRITE | PROT_EXEC};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        for (size_t j = 0; j < sizeof(protections) / sizeof(protections[0]); j++) {
            EXPECT_REFUSED(mmap(NULL, 4096, protections[j], types[i] | MAP_ANONYMOUS, -1, 0));
            EXPECT_REFUSED(mmap(NULL, 4096, protections[j], types[i], memory, 0));
            EXPECT_REFUSED(mmap(NULL, 4096, protections[j], types[i], program, 0));
        }
    EXPECT_REFUSED(syscall(SYS_pkey_mprotect, data, 4096, PROT_READ | PROT_EXEC, -1));
    EXPECT_REFUSED(syscall(SYS_shmat, 0, NULL, 0100000 /* SHM_EXEC */));
    EXPECT_REFUSED(syscall(SYS_shmget, 0 /* IPC_PRIVATE */, 4096, 01777));
    EXPECT_REFUSED(syscall(SYS_remap_file_pages, data, 4096, 0, 0, 0));
#ifndef DLFUSE_SANITIZED
    EXPECT_REFUSED(mprotect(data, 4096, PROT_READ | PROT_EXEC));
    EXPECT_REFUSED(syscall(SYS_personality, 0x0400000 /* READ_IMPLIES_EXEC */));
#endif
    EXPECT(mprotect(data, 4096, PROT_READ | PROT_WRITE) == 0);
}

/* The memory's protection before the filter, or without it on a kernel that has no filter. */
static void memory_before_the_filter(void)
{
    void *data = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    dlf_harden_memory();
    if (prctl(66 /* PR_GET_MDWE */, 0L, 0L, 0L, 0L) != 1) {
        puts("SKIP: this kernel is older than 6.3");
        return;
    }
    EXPECT(mprotect(data, 4096, PROT_READ | PROT_EXEC) == -1 && errno == EACCES);
    EXPECT(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
           MAP_FAILED);
    EXPECT(dlopen("libnss_hesiod.so.2", RTLD_LAZY | RTLD_LOCAL));
}

/* Two modules that come with the C library. */
static void libraries(void)
{
    char path[] = "/tmp/dlfuse-nsswitch.XXXXXX";
    static const char text[] = "hosts: files [NOTFOUND=continue] compat dns\n";
    int fd = mkstemp(path);
    EXPECT(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)(sizeof(text) - 1));
    close(fd);
    dlf_names_load(path);
    unlink(path);
    filter(DLF_USE_HANDOVER);
    EXPECT(dlopen("libnss_compat.so.2", RTLD_LAZY | RTLD_LOCAL));
    EXPECT(!dlopen("libnss_hesiod.so.2", RTLD_LAZY | RTLD_LOCAL)); /* and it lives */
}

static void sockets(void)
{
    struct addrinfo *found = NULL;
    filter(0);
    EXPECT_REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
    EXPECT_REFUSED(socket(AF_NETLINK, SOCK_RAW, 9 /* NETLINK_AUDIT */));
    EXPECT_REFUSED(socket(AF_VSOCK, SOCK_STREAM, 0));
    EXPECT_REFUSED(socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0));
    EXPECT_REFUSED(listen(0, 1));
    EXPECT_REFUSED(syscall(SYS_accept4, 0, NULL, NULL, 0));
    EXPECT_REFUSED(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
    EXPECT(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
    EXPECT(socket(AF_INET, SOCK_STREAM, 0) >= 0);
    EXPECT(socket(AF_INET6, SOCK_STREAM, 0) >= 0 || errno == EAFNOSUPPORT);
    EXPECT(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
    EXPECT(getaddrinfo("localhost", "80", NULL, &found) == 0);
    freeaddrinfo(found);
}

static void uses_are_separate(void)
{
    filter(DLF_USE_RENAME);
    EXPECT_REFUSED(umount2("/nowhere", MNT_DETACH));
    EXPECT(rename("/nowhere/a", "/nowhere/b") == -1 && errno == ENOENT);
    EXPECT(unlink("/nowhere/a") == -1 && errno == ENOENT);
}

/* The second magic number is wrong: even a kernel that takes the call does nothing. */
static long try_reboot(unsigned command)
{
    return syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, 0, command, NULL);
}

static void ending(void)
{
    struct dlf_err err;
    EXPECT(dlf_harden_drop(0, &err) == 0);
    filter(DLF_USE_ENDING);
    EXPECT(try_reboot(LINUX_REBOOT_CMD_POWER_OFF) == -1 && errno == EPERM);
    EXPECT(try_reboot(LINUX_REBOOT_CMD_RESTART) == -1 && errno == EPERM);
    EXPECT_REFUSED(try_reboot(LINUX_REBOOT_CMD_HALT));
    EXPECT_REFUSED(try_reboot(LINUX_REBOOT_CMD_KEXEC));
    EXPECT_REFUSED(try_reboot(LINUX_REBOOT_CMD_CAD_OFF));
    sync();
}

static void not_ending(void)
{
    struct dlf_err err;
    EXPECT(dlf_harden_drop(0, &err) == 0);
    filter(DLF_USE_HANDOVER | DLF_USE_RENAME);
    EXPECT_REFUSED(try_reboot(LINUX_REBOOT_CMD_POWER_OFF));
}

static void unmounting(void)
{
    filter(DLF_USE_HANDOVER);
    EXPECT(umount2("/nowhere", MNT_DETACH) == -1 && errno != ENOSYS);
}

/* A thread that was there before the filter and one that comes after it. */
static pthread_barrier_t filtered;

static void *try_in_thread(void *cookie)
{
    (void)cookie;
    pthread_barrier_wait(&filtered);
    EXPECT_REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
    return malloc(1 << 20);
}

static void all_threads(void)
{
    pthread_t old;
    pthread_t new;
    void *block = NULL;
    pthread_barrier_init(&filtered, NULL, 2);
    EXPECT(pthread_create(&old, NULL, try_in_thread, NULL) == 0);
    filter(0);
    pthread_barrier_wait(&filtered);
    EXPECT(pthread_join(old, &block) == 0 && block);
    free(block);
    EXPECT(pthread_create(&new, NULL, try_in_thread, NULL) == 0);
    pthread_barrier_wait(&filtered);
    EXPECT(pthread_join(new, &block) == 0 && block);
    free(block);
}

static void capabilities(void)
{
    struct dlf_err err;
    struct dlf_hardening before;
    struct dlf_hardening now;
    dlf_harden_look(&before);
    EXPECT(!before.filter);
    EXPECT(dlf_harden_drop(DLF_CAPABILITY(CAP_SYS_ADMIN) | DLF_CAPABILITY(CAP_CHECKPOINT_RESTORE),
                           &err) == 0);
    dlf_harden_look(&now);
    EXPECT(now.capabilities == (before.capabilities & (DLF_CAPABILITY(CAP_SYS_ADMIN) |
                                                       DLF_CAPABILITY(CAP_CHECKPOINT_RESTORE))));
    EXPECT(now.no_new_privs && !now.filter);
    EXPECT(dlf_harden_drop(0, &err) == 0);
    dlf_harden_look(&now);
    EXPECT(now.capabilities == 0);
    EXPECT(chroot("/") == -1 && errno == EPERM);
    filter(0);
    dlf_harden_look(&now);
    EXPECT(now.no_new_privs && now.filter);
}

static void test_programs_and_processes(void **state)
{
    (void)state;
    in_child(programs_and_processes);
}

static void test_the_kernel(void **state)
{
    (void)state;
    in_child(the_kernel);
}

static void test_files_and_memory(void **state)
{
    (void)state;
    in_child(files_and_memory);
}

static void test_executable(void **state)
{
    (void)state;
    in_child(executable_memory);
    in_child(memory_before_the_filter);
    in_child(libraries);
}

static void test_sockets(void **state)
{
    (void)state;
    in_child(sockets);
}

static void test_uses(void **state)
{
    (void)state;
    in_child(uses_are_separate);
    in_child(unmounting);
    in_child(ending);
    in_child(not_ending);
}

static void test_all_threads(void **state)
{
    (void)state;
    in_child(all_threads);
}

static void test_capabilities(void **state)
{
    (void)state;
    in_child(capabilities);
}

static void test_names(void **state)
{
    char name[24];
    (void)state;
    dlf_harden_capability_name(CAP_SYS_ADMIN, name);
    assert_string_equal(name, "CAP_SYS_ADMIN");
    dlf_harden_capability_name(CAP_CHOWN, name);
    assert_string_equal(name, "CAP_0");
    dlf_harden_capability_name(63, name);
    assert_string_equal(name, "CAP_63");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_programs_and_processes),
        cmocka_unit_test(test_the_kernel),
        cmocka_unit_test(test_files_and_memory),
        cmocka_unit_test(test_executable),
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_uses),
        cmocka_unit_test(test_all_threads),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
