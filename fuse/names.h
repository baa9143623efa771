/*
 * Modules with which the C library looks names of hosts up (nsswitch.conf(5)).
 *
 * It loads one when a look-up first needs it. Under the filter of system calls nothing can be
 * loaded any more: a service without its module then counts as unavailable, and the next one in the
 * line is asked. files and dns need none.
 */
#ifndef DLFUSE_FUSE_NAMES_H
#define DLFUSE_FUSE_NAMES_H

#include <stddef.h>

/* Bytes of a module's file name, NUL included. */
#define DLF_NAMES_MODULE_MAX 64

/* The services of a line of nsswitch.conf that is about hosts; NULL: it is about others. Pure. */
const char *dlf_names_hosts(const char *line);

/*
 * The module of the next service, as "libnss_resolve.so.2"; *at moves behind it. Words in brackets
 * are no services. 1, or 0 at the end and before a word that is no service. Pure.
 */
int dlf_names_next(const char **at, char module[DLF_NAMES_MODULE_MAX]);

/* Loads the modules that the file at path names; one that cannot be loaded is left out. Before the
 * filter. */
void dlf_names_load(const char *path);

#endif
