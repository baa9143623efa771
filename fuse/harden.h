/*
 * Gives up the privileges that the process needs no longer: capabilities, system calls, and the way
 * to get privileges by executing something (docs/ARCHITECTURE.md, "What the daemon may do").
 *
 * Nothing here can be taken back. A kernel that lacks a part of it is no reason not to serve: the
 * caller says so and goes on.
 */
#ifndef DLFUSE_FUSE_HARDEN_H
#define DLFUSE_FUSE_HARDEN_H

#include <stdbool.h>
#include <stdint.h>

#include "format/err.h"

/* A capability of linux/capability.h as a bit. */
#define DLF_CAPABILITY(number) ((uint64_t)1 << (number))

/*
 * Keeps, of the process's capabilities, only the ones in keep; none can be inherited or come back.
 * No program that it executes gets privileges from its file, setuid ones included. For the calling
 * thread and the threads that it makes: call it before the first one. 0 or a negative errno.
 */
int dlf_harden_drop(uint64_t keep, struct dlf_err *err);

/*
 * From now on memory that was writable cannot be made executable, and none is both. Files can still
 * be mapped to be executed, libraries for example, until the filter is there. All threads; Linux
 * 6.3, and nothing on an older one.
 */
void dlf_harden_memory(void);

/* Calls that a filter allows beyond memory, threads, clocks, sockets, and files opened to read. */
enum dlf_harden_use {
    DLF_USE_HANDOVER = 1, /* LOOP_CHANGE_FD, umount2 and close_range */
    DLF_USE_RENAME = 2,   /* rename, unlink */
    DLF_USE_ENDING = 4,   /* sync; reboot to power off or restart, and for nothing else */
};

/*
 * Filters the system calls of all threads, running ones included. No memory becomes executable from
 * now on, so no library can be loaded: code that loads a library on first use must have done that
 * before (names.h). A call that is not on the list fails with ENOSYS, as on a kernel that lacks it.
 * A C library newer than the list then does without, and the daemon lives. uses: bits of
 * dlf_harden_use. Sets "no new privileges". 0; -EOPNOTSUPP where the kernel has no filters; another
 * negative errno. Nothing is filtered then.
 */
int dlf_harden_filter(unsigned uses, struct dlf_err *err);

struct dlf_hardening {
    uint64_t capabilities; /* permitted */
    bool no_new_privs;
    bool filter;
};

/* As the kernel says of the calling thread. */
void dlf_harden_look(struct dlf_hardening *now);

/* "CAP_SYS_ADMIN", or "CAP_12" for one that is never kept. */
void dlf_harden_capability_name(unsigned number, char name[24]);

#endif
