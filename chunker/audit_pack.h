/* The packs' part of an audit. Private to audit.c and audit_pack.c. */
#ifndef DLFUSE_CHUNKER_AUDIT_PACK_H
#define DLFUSE_CHUNKER_AUDIT_PACK_H

#include <stdbool.h>

#include "chunker/audit.h"

/* Reports and counts one damage. */
void audit_damage(struct audit *audit, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Checks every pack that an index names, and with unused also the others in the store. References
 * must be sorted. Negative when the check itself could not be done.
 */
int audit_packs(struct audit *audit, bool unused, struct dlf_err *err);

#endif
