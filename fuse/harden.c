/*
 * Capabilities by capset, the filter by libseccomp. Owns nothing, keeps no state: the kernel is
 * asked for the present state. The lists below are the calls that the node, libfuse, libcurl,
 * OpenSSL and the C library (names are resolved in new threads at any time) were seen or are known
 * to use.
 */
#include "fuse/harden.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/loop.h>
#include <linux/reboot.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65 /* linux/prctl.h, since Linux 6.3 */
#define PR_MDWE_REFUSE_EXEC_GAIN 1UL
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* linux/prctl.h, since Linux 5.17: glibc 2.39 names its heaps */
#endif

struct capabilities {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

static int get_capabilities(struct capabilities *caps)
{
    memset(caps, 0, sizeof(*caps));
    caps->header.version = _LINUX_CAPABILITY_VERSION_3;
    return syscall(SYS_capget, &caps->header, caps->data) < 0 ? -errno : 0;
}

static bool has(const struct capabilities *caps, unsigned number)
{
    return caps->data[number / 32].effective >> number % 32 & 1;
}

/* Empties the set of capabilities that may ever be gained. Only CAP_SETPCAP allows that; for other
 * processes exec gives nothing anyway. */
static int empty_bounding_set(const struct capabilities *caps)
{
    for (unsigned number = 0; has(caps, CAP_SETPCAP) && number < 64; number++)
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1 &&
            prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
            return -errno;
    return 0;
}

int dlf_harden_drop(uint64_t keep, struct dlf_err *err)
{
    struct capabilities caps;
    int rc = get_capabilities(&caps);
    if (rc == 0)
        rc = empty_bounding_set(&caps);
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        caps.data[i].permitted &= (uint32_t)(keep >> 32 * i);
        caps.data[i].effective = caps.data[i].permitted;
        caps.data[i].inheritable = 0; /* and with them the ambient ones */
    }
    if (rc == 0 && syscall(SYS_capset, &caps.header, caps.data) < 0)
        rc = -errno;
    if (rc < 0)
        return dlf_fail(err, -rc, "capabilities cannot be dropped: %s", strerror(-rc));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return dlf_fail(err, errno, "no_new_privs cannot be set: %s", strerror(errno));
    return 0;
}

void dlf_harden_memory(void)
{
    (void)prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0L, 0L, 0L);
}

static const int always[] = {
    /* memory; mmap and mprotect have conditions */
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    /* threads, signals, the end; clone, tgkill, prctl and prlimit64 have conditions */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(getcpu),
    SCMP_SYS(gettid),
    SCMP_SYS(membarrier),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sigreturn),
    /* clocks */
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(nanosleep),
    SCMP_SYS(time),
    /* our identity and place */
    SCMP_SYS(capget),
    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(getuid),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    /* open files; openat has a condition */
    SCMP_SYS(_llseek),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(fallocate),
    SCMP_SYS(fcntl),
    SCMP_SYS(fcntl64),
    SCMP_SYS(fdatasync),
    SCMP_SYS(flock),
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(ftruncate64),
    SCMP_SYS(lseek),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    /* looking at files: resolver files, certificates, mount tables */
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    SCMP_SYS(fstatat64),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fstatfs64),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(lstat),
    SCMP_SYS(lstat64),
    SCMP_SYS(newfstatat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(stat),
    SCMP_SYS(stat64),
    SCMP_SYS(statx),
    /* waiting */
    SCMP_SYS(_newselect),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(ppoll_time64),
    SCMP_SYS(pselect6),
    SCMP_SYS(pselect6_time64),
    SCMP_SYS(select),
    /* outgoing connections; socket has conditions, and none come in */
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(recv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmmsg_time64),
    SCMP_SYS(recvmsg),
    SCMP_SYS(send),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    SCMP_SYS(socketpair),
};

static const int for_rename[] = {SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
                                 SCMP_SYS(unlink), SCMP_SYS(unlinkat)};

#ifdef DLFUSE_SANITIZED
/* The leak checker stops its siblings, which it finds in /proc, with ptrace from a process that it
 * clones; reports go to files. */
static const int for_sanitizers[] = {
    SCMP_SYS(clone),    SCMP_SYS(getdents), SCMP_SYS(kill),   SCMP_SYS(mkdir),
    SCMP_SYS(mprotect), SCMP_SYS(open),     SCMP_SYS(openat), SCMP_SYS(personality),
    SCMP_SYS(prctl),    SCMP_SYS(ptrace),   SCMP_SYS(tgkill), SCMP_SYS(wait4),
};
#endif

/* A filter in the making; the first failure stays. */
struct filter {
    scmp_filter_ctx ctx;
    int rc;
};

static void allow_if(struct filter *f, int call, unsigned count, const struct scmp_arg_cmp *args)
{
    if (f->rc == 0)
        f->rc = seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, call, count, args);
}

static void allow_all(struct filter *f, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        allow_if(f, calls[i], 0, NULL);
}

static void allow_one(struct filter *f, int call, struct scmp_arg_cmp arg)
{
    allow_if(f, call, 1, &arg);
}

/* libseccomp's macro for it leaves a field out, which clang warns of. */
static struct scmp_arg_cmp equals(unsigned argument, uint32_t value)
{
    return (struct scmp_arg_cmp){.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value};
}

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* Only code that could be executed before can be executed: no library is loaded any more, and no
 * code is made, in memory or in a file that is mapped. The other ways to PROT_EXEC are on no list:
 * pkey_mprotect, shmat with SHM_EXEC, personality with READ_IMPLIES_EXEC. */
static void allow_memory(struct filter *f)
{
    static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)};
    for (size_t i = 0; i < COUNT(calls); i++)
        allow_one(f, calls[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* Threads, no processes and no namespaces. clone3 hides its flags from filters: without it the C
 * library uses clone. */
static void allow_threads(struct filter *f)
{
    const scmp_datum_t spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    static const unsigned names[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP,
                                     PR_SET_VMA};
    allow_one(f, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, spaces | CLONE_THREAD, CLONE_THREAD));
    allow_one(f, SCMP_SYS(tgkill), equals(0, (uint32_t)getpid()));
    allow_one(f, SCMP_SYS(prlimit64), equals(2, 0)); /* looking only */
    for (size_t i = 0; i < COUNT(names); i++)
        allow_one(f, SCMP_SYS(prctl), equals(0, names[i]));
}

/* Files are opened for reading only. */
static void allow_opening(struct filter *f)
{
    const scmp_datum_t writes = O_ACCMODE | O_CREAT | O_TRUNC;
    allow_one(f, SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
    allow_one(f, SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
}

/* AF_NETLINK: which addresses the machine has, for the order of a name's addresses. */
static void allow_sockets(struct filter *f)
{
    static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6};
    static const unsigned ioctls[] = {FIONREAD, FIONBIO, TCGETS, SIOCGIFINDEX};
    const struct scmp_arg_cmp route[] = {
        equals(0, AF_NETLINK), equals(2, 0), /* NETLINK_ROUTE */
    };
    for (size_t i = 0; i < COUNT(families); i++)
        allow_one(f, SCMP_SYS(socket), equals(0, families[i]));
    allow_if(f, SCMP_SYS(socket), COUNT(route), route);
    for (size_t i = 0; i < COUNT(ioctls); i++)
        allow_one(f, SCMP_SYS(ioctl), equals(1, ioctls[i]));
}

static void allow_ending(struct filter *f)
{
    static const unsigned ways[] = {LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_RESTART};
    allow_if(f, SCMP_SYS(sync), 0, NULL);
    for (size_t i = 0; i < COUNT(ways); i++)
        allow_one(f, SCMP_SYS(reboot), equals(2, ways[i]));
}

static void allow_uses(struct filter *f, unsigned uses)
{
    if (uses & DLF_USE_HANDOVER) {
        allow_one(f, SCMP_SYS(ioctl), equals(1, LOOP_CHANGE_FD));
        allow_if(f, SCMP_SYS(umount2), 0, NULL);
        allow_if(f, SCMP_SYS(close_range), 0, NULL);
    }
    if (uses & DLF_USE_ENDING)
        allow_ending(f);
    if (uses & DLF_USE_RENAME)
        allow_all(f, for_rename, COUNT(for_rename));
#ifdef DLFUSE_SANITIZED
    allow_all(f, for_sanitizers, COUNT(for_sanitizers));
#endif
}

static void set_attributes(struct filter *f)
{
    /* All threads; without that the filter would hold for this one only. */
    f->rc = seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (f->rc == 0)
        f->rc = seccomp_attr_set(f->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    /* A tree in place of a list. No foreign code runs here that would have to be kept from
     * speculating, which is slow. Nothing is lost where these are not known. */
    (void)seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    (void)seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_SSB, 1);
}

int dlf_harden_filter(unsigned uses, struct dlf_err *err)
{
    struct filter f = {.ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS))};
    if (!f.ctx)
        return dlf_fail(err, ENOMEM, "out of memory");
    set_attributes(&f);
    allow_all(&f, always, COUNT(always));
    allow_memory(&f);
    allow_threads(&f);
    allow_opening(&f);
    allow_sockets(&f);
    allow_uses(&f, uses);
    if (f.rc == 0)
        f.rc = seccomp_load(f.ctx);
    seccomp_release(f.ctx);
    return f.rc < 0 ? dlf_fail(err, -f.rc, "system calls cannot be filtered: %s", strerror(-f.rc))
                    : 0;
}

void dlf_harden_look(struct dlf_hardening *now)
{
    struct capabilities caps;
    memset(now, 0, sizeof(*now));
    if (get_capabilities(&caps) == 0)
        now->capabilities = caps.data[0].permitted | (uint64_t)caps.data[1].permitted << 32;
    now->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    now->filter = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER;
}

void dlf_harden_capability_name(unsigned number, char name[24])
{
    static const char *const known[64] = {
        [CAP_DAC_OVERRIDE] = "CAP_DAC_OVERRIDE",
        [CAP_DAC_READ_SEARCH] = "CAP_DAC_READ_SEARCH",
        [CAP_FOWNER] = "CAP_FOWNER",
        [CAP_SYS_ADMIN] = "CAP_SYS_ADMIN",
        [CAP_SYS_BOOT] = "CAP_SYS_BOOT",
    };
    if (number < COUNT(known) && known[number])
        snprintf(name, 24, "%s", known[number]);
    else
        snprintf(name, 24, "CAP_%u", number);
}
