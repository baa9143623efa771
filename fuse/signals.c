/* All by number: a list of names would have to be complete on every kernel. */
#include "fuse/signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's signals are 1 to 64 on all that have a 64-bit mask (MIPS has 128). */
#define MASK_BYTES ((size_t)(_NSIG - 1) / 8)

static bool keeps_its_action(int number)
{
    switch (number) {
    case SIGKILL:
    case SIGSTOP:
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
        return true;
#ifdef DLFUSE_SANITIZED
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGSYS:
    case SIGABRT:
        return true;
#endif
    default:
        return false;
    }
}

/*
 * signal(2) refuses the C library's own signals. The library installs their handlers, which act on
 * its own signals only, when it first needs them; until then these signals would end the process.
 * The kernel's form of an action is copied from a signal that is ignored, for it differs between
 * architectures.
 */
static void ignore_reserved(int number)
{
    unsigned long action[16] = {0};
    if (syscall(SYS_rt_sigaction, SIGHUP, NULL, action, MASK_BYTES) == 0)
        (void)syscall(SYS_rt_sigaction, number, action, NULL, MASK_BYTES);
}

void dlf_signals_survive(void)
{
    (void)signal(SIGHUP, SIG_IGN);
    for (int number = 1; number < _NSIG; number++)
        if (!keeps_its_action(number) && signal(number, SIG_IGN) == SIG_ERR)
            ignore_reserved(number);
}
