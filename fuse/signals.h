/*
 * Which signals may end the daemon of a root filesystem: SIGKILL, and signals that the kernel
 * raises for a fault of the daemon's own. Every other signal that ends or stops a process is
 * ignored, the C library's own ones included; SIGSTOP cannot be.
 *
 * Linux discards an ignored signal that was sent, from any sender and with any number. But when an
 * instruction of the process raises SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP or SIGSYS, Linux
 * resets the action and ends the process (force_sig). abort() ends the process too. So no handler
 * has to tell a sent signal from a fault.
 */
#ifndef DLFUSE_FUSE_SIGNALS_H
#define DLFUSE_FUSE_SIGNALS_H

/*
 * Once, before the first thread. A handler that is installed later replaces that. Builds with
 * sanitizers keep the sanitizers' handlers for faults. Signals that do nothing unless they have a
 * handler keep their action: SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
 */
void dlf_signals_survive(void);

#endif
