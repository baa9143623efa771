/* Checked against the manifest's digest before it is parsed. */
#include "chunker/stored_boot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/io.h"

static int read_table(struct stored_boot *boot, int fd, const struct dlf_manifest *m,
                      struct dlf_err *err)
{
    uint8_t *data = malloc(m->boot_table_size);
    int rc = data ? io_pread(fd, data, m->boot_table_size, 0) : -ENOMEM;
    if (rc < 0) {
        dlf_fail(err, -rc, "cannot read its table: %s", strerror(-rc));
    } else {
        struct dlf_sha256 found = dlf_sha256(data, m->boot_table_size);
        rc = dlf_sha256_fits(&found, &m->boot_table)
                 ? dlf_boot_table_parse(&boot->table, data, m->boot_table_size, m->index_head_size,
                                        m->image_size, m->boot_size, dlf_manifest_chunks(m), err)
                 : dlf_fail(err, EBADMSG, "wrong SHA-256 of its table");
    }
    free(data);
    return rc;
}

int stored_boot_open(struct stored_boot *boot, const struct store *store,
                     const struct dlf_manifest *manifest, struct dlf_err *err)
{
    struct dlf_err why;
    uint64_t size = 0;
    memset(boot, 0, sizeof(*boot));
    dlf_object_path(boot->path, DLF_BOOT_KIND, &manifest->boot);
    int fd = store_object_open(store, boot->path, &size, err);
    if (fd < 0)
        return fd;
    int rc = size == manifest->boot_size
                 ? read_table(boot, fd, manifest, &why)
                 : dlf_fail(&why, EBADMSG, "it has %" PRIu64 " bytes, the manifest says %" PRIu64,
                            size, manifest->boot_size);
    close(fd);
    if (rc < 0)
        dlf_fail(err, -rc, "%s/%s: %s", store->path, boot->path, why.msg);
    return rc;
}

void stored_boot_close(struct stored_boot *boot)
{
    dlf_boot_table_free(&boot->table);
}
