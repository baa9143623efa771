/* A boot pack of the store: its table. Nothing is kept open. */
#ifndef DLFUSE_CHUNKER_STORED_BOOT_H
#define DLFUSE_CHUNKER_STORED_BOOT_H

#include "chunker/store.h"
#include "format/boot.h"
#include "format/manifest.h"

struct stored_boot {
    char path[DLF_OBJECT_PATH_MAX]; /* boot/HEX */
    struct dlf_boot_table table;    /* owned */
};

/*
 * Reads and checks the table of the boot pack that a manifest names (it must name one): the
 * object's size, the table's digest, every field. Reads nothing behind the table. -ENOENT when the
 * object is missing, -EBADMSG, -ENOTSUP, -ENOMEM; err names the object.
 */
int stored_boot_open(struct stored_boot *boot, const struct store *store,
                     const struct dlf_manifest *manifest, struct dlf_err *err);
void stored_boot_close(struct stored_boot *boot);

#endif
