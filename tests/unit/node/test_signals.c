/*
 * Every signal is sent to a process that has called dlf_signals_survive, in each way that one
 * process can send one to another; and the process ends all the same of a fault of its own.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuse/signals.h"

#define SIGNALS 64

static void *sleep_for_ever(void *cookie)
{
    (void)cookie;
    for (;;)
        pause();
    return NULL;
}

/* The C library installs handlers for its own signals when there are threads and one is cancelled.
 */
static void use_threads(void)
{
    pthread_t cancelled;
    pthread_t other;
    if (pthread_create(&cancelled, NULL, sleep_for_ever, NULL) != 0 ||
        pthread_create(&other, NULL, sleep_for_ever, NULL) != 0)
        _exit(3);
    pthread_cancel(cancelled);
    pthread_join(cancelled, NULL);
}

struct process {
    pid_t pid;
    int answers; /* one byte for each question */
    int questions;
};

/* Its main thread answers questions, so the test notices a process that only looks alive. */
static void start(struct process *p, bool threads)
{
    int up[2];
    int down[2];
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        char c;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dlf_signals_survive();
        if (threads)
            use_threads();
        for (;;)
            if (write(up[1], "a", 1) != 1 || read(down[0], &c, 1) != 1)
                _exit(4);
    }
    close(up[1]);
    close(down[0]);
    p->answers = up[0];
    p->questions = down[1];
}

static void assert_alive(struct process *p, const char *how, int number)
{
    char c;
    int status;
    if (read(p->answers, &c, 1) == 1 && write(p->questions, "q", 1) == 1)
        return;
    waitpid(p->pid, &status, 0);
    fail_msg("signal %d by %s ends it, with status %#x", number, how, (unsigned)status);
}

static bool is_spared(int number)
{
#ifdef DLFUSE_SANITIZED
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (number == faults[i])
            return true;
#endif
    return number == SIGKILL || number == SIGSTOP;
}

static void send_all(bool threads)
{
    struct process p;
    start(&p, threads);
    assert_alive(&p, "nothing", 0);
    for (int number = 1; number <= SIGNALS; number++) {
        siginfo_t info = {.si_signo = number, .si_code = SI_QUEUE};
        if (is_spared(number))
            continue;
        assert_int_equal(kill(p.pid, number), 0);
        assert_alive(&p, "kill", number);
        assert_int_equal(syscall(SYS_tgkill, p.pid, p.pid, number), 0);
        assert_alive(&p, "tgkill", number);
        assert_int_equal(syscall(SYS_rt_sigqueueinfo, p.pid, number, &info), 0);
        assert_alive(&p, "sigqueue", number);
        /* The highest number that one process may claim in the name of another. */
        info.si_code = SI_ASYNCNL;
        assert_int_equal(syscall(SYS_rt_tgsigqueueinfo, p.pid, p.pid, number, &info), 0);
        assert_alive(&p, "rt_tgsigqueueinfo", number);
    }
    kill(p.pid, SIGKILL);
    assert_int_equal(waitpid(p.pid, NULL, 0), p.pid);
    close(p.answers);
    close(p.questions);
}

static void test_sent(void **state)
{
    (void)state;
    send_all(false);
}

static void test_sent_to_threads(void **state)
{
    (void)state;
    send_all(true);
}

#ifndef DLFUSE_SANITIZED
static volatile int zero;

static void fault_address(void)
{
    *(volatile int *)(uintptr_t)zero = 1;
}

/* A page behind the end of its file, as in an image that was truncated. */
static void fault_bus(void)
{
    int fd = memfd_create("short", MFD_CLOEXEC);
    volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    (void)page[zero];
}

static void fault_trap(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("int3");
#elif defined(__aarch64__)
    __asm__ volatile("brk #0");
#else
    abort();
#endif
}

static void fault_instruction(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("ud2");
#elif defined(__aarch64__)
    __asm__ volatile("udf #0");
#else
    __builtin_trap();
#endif
}

#if defined(__x86_64__) || defined(__i386__)
static void fault_division(void)
{
    int divisor = zero;
    __asm__ volatile("xorl %%edx, %%edx\n\tmovl $1, %%eax\n\tidivl %0" ::"r"(divisor)
                     : "eax", "edx");
}
#endif
#endif

static int end_of(void (*fault)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dlf_signals_survive();
        fault();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 1000 + WEXITSTATUS(status);
}

static void test_own_faults(void **state)
{
    (void)state;
    assert_int_equal(end_of(abort), SIGABRT);
#ifndef DLFUSE_SANITIZED
    assert_int_equal(end_of(fault_address), SIGSEGV);
    assert_int_equal(end_of(fault_bus), SIGBUS);
    assert_true(end_of(fault_trap) < 1000);
    assert_true(end_of(fault_instruction) < 1000);
#if defined(__x86_64__) || defined(__i386__)
    assert_int_equal(end_of(fault_division), SIGFPE);
#endif
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sent),
        cmocka_unit_test(test_sent_to_threads),
        cmocka_unit_test(test_own_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
