/*
 * Which signals may end the daemon of a root filesystem: SIGKILL, and what the kernel raises for a
 * fault of the daemon's own. Every other signal that ends a process or stops it is ignored, those
 * that the C library keeps for itself included; SIGSTOP cannot be.
 *
 * Linux discards an ignored signal that was sent, whoever sent it and whatever its number is, but
 * resets the action of SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGSYS and ends the process
 * when an instruction of its own raises them (force_sig). abort() ends the process too. So no
 * handler has to tell the one from the other.
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
