/* Reads heads and pages; every byte is checked against a digest before it is parsed. */
#include "chunker/stored_index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/io.h"

/* Reads size bytes at offset of the object and compares their digest. */
static int read_checked(const struct stored_index *index, int fd, uint64_t offset, uint8_t *data,
                        size_t size, const struct dlf_sha256 *digest, struct dlf_err *err)
{
    int rc = io_pread(fd, data, size, offset);
    if (rc == -EBADMSG)
        return dlf_fail(err, EBADMSG, "%s/%s is cut short: no %zu bytes at byte %" PRIu64,
                        index->store->path, index->path, size, offset);
    if (rc < 0)
        return dlf_fail(err, -rc, "cannot read %s/%s at byte %" PRIu64 ": %s", index->store->path,
                        index->path, offset, strerror(-rc));
    struct dlf_sha256 found = dlf_sha256(data, size);
    if (!dlf_sha256_fits(&found, digest))
        return dlf_fail(err, EBADMSG,
                        "%s/%s is damaged: wrong digest of the %zu bytes at byte %" PRIu64,
                        index->store->path, index->path, size, offset);
    return 0;
}

static int read_head(struct stored_index *index, int fd, const struct dlf_manifest *manifest,
                     struct dlf_err *err)
{
    struct dlf_err why;
    /* At most DLF_INDEX_HEAD_MAX: the manifest was checked. */
    uint8_t *data = malloc(manifest->index_head_size);
    if (!data)
        return dlf_fail(err, ENOMEM, "out of memory for the head of %s", index->path);
    int rc =
        read_checked(index, fd, 0, data, manifest->index_head_size, &manifest->index_head, err);
    if (rc == 0) {
        rc = dlf_index_head_parse(&index->head, data, manifest->index_head_size,
                                  manifest->image_size, manifest->index_size, &why);
        if (rc < 0)
            dlf_fail(err, -rc, "%s/%s: %s", index->store->path, index->path, why.msg);
    }
    free(data);
    return rc;
}

int stored_index_open(struct stored_index *index, const struct store *store,
                      const struct dlf_manifest *manifest, struct dlf_err *err)
{
    memset(index, 0, sizeof(*index));
    index->store = store;
    dlf_object_path(index->path, "index", &manifest->index);
    int fd = store_object_open(store, index->path, &index->size_bytes, err);
    if (fd < 0)
        return fd;
    int rc;
    if (index->size_bytes != manifest->index_size)
        rc = dlf_fail(err, EBADMSG, "%s/%s has %" PRIu64 " bytes, the manifest says %" PRIu64,
                      store->path, index->path, index->size_bytes, manifest->index_size);
    else
        rc = read_head(index, fd, manifest, err);
    close(fd);
    return rc;
}

void stored_index_close(struct stored_index *index)
{
    dlf_index_head_free(&index->head);
}

int stored_index_page(const struct stored_index *index, uint32_t page, uint8_t *data,
                      struct dlf_err *err)
{
    struct dlf_err why;
    uint64_t found_size;
    size_t size = (size_t)dlf_index_page_records(&index->head, page) * DLF_RECORD_SIZE;
    int fd = store_object_open(index->store, index->path, &found_size, err);
    if (fd < 0)
        return fd;
    int rc = read_checked(index, fd, dlf_index_page_offset(&index->head, page), data, size,
                          &index->head.pages[page].sha256, err);
    close(fd);
    if (rc < 0)
        return rc;
    rc = dlf_index_page_check(&index->head, page, data, size, &why);
    if (rc < 0)
        dlf_fail(err, -rc, "%s/%s: %s", index->store->path, index->path, why.msg);
    return rc;
}

int stored_index_each(const struct stored_index *index, stored_index_visit visit, void *context,
                      struct dlf_err *err)
{
    uint8_t data[DLF_INDEX_PAGE_SIZE];
    int rc = 0;
    for (uint32_t page = 0; rc == 0 && page < index->head.page_count; page++) {
        uint32_t count = dlf_index_page_records(&index->head, page);
        rc = stored_index_page(index, page, data, err);
        for (uint32_t i = 0; rc == 0 && i < count; i++) {
            struct dlf_record record;
            dlf_record_read(&record, data + (size_t)i * DLF_RECORD_SIZE);
            rc = visit(context, (uint64_t)page * DLF_INDEX_PAGE_RECORDS + i, &record);
        }
    }
    return rc;
}
