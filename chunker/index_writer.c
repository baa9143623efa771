/* Pages go to a temporary file, then head and pages to the object. */
#include "chunker/index_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/io.h"

int index_writer_init(struct index_writer *writer, struct store *store, struct dlf_err *err)
{
    memset(writer, 0, sizeof(*writer));
    writer->store = store;
    writer->page = malloc(DLF_INDEX_PAGE_SIZE);
    if (!writer->page)
        return dlf_fail(err, ENOMEM, "out of memory for the index");
    int rc = store_temp_open(store, "index", &writer->records, err);
    if (rc < 0)
        index_writer_free(writer);
    return rc;
}

void index_writer_free(struct index_writer *writer)
{
    store_temp_drop(writer->store, &writer->records);
    free(writer->pages);
    free(writer->page);
    writer->pages = NULL;
    writer->page = NULL;
}

static int flush_page(struct index_writer *writer, struct dlf_err *err)
{
    size_t size = (size_t)writer->in_page * DLF_RECORD_SIZE;
    if (writer->page_count == writer->page_room) {
        uint32_t room = writer->page_room ? writer->page_room * 2 : 64;
        struct dlf_index_page *pages = realloc(writer->pages, room * sizeof(*pages));
        if (!pages)
            return dlf_fail(err, ENOMEM, "out of memory for the index");
        writer->pages = pages;
        writer->page_room = room;
    }
    if (dlf_index_head_size((uint64_t)writer->page_count + 1, 0) == 0)
        return dlf_fail(err, EFBIG,
                        "the image has more than %" PRIu64 " chunks, the most of an index; a "
                        "larger --chunk-size gives fewer",
                        writer->record_count);
    int rc = io_write(writer->records.fd, writer->page, size);
    if (rc < 0)
        return store_write_failed(writer->store, &writer->records, -rc, err);
    writer->pages[writer->page_count].first_offset = writer->page_first_offset;
    writer->pages[writer->page_count].sha256 = dlf_sha256(writer->page, size);
    rc = dlf_sha256_check(&writer->pages[writer->page_count].sha256, err);
    if (rc < 0)
        return rc;
    writer->page_count++;
    writer->in_page = 0;
    return 0;
}

int index_writer_add(struct index_writer *writer, const struct dlf_record *record,
                     struct dlf_err *err)
{
    if (writer->in_page == 0)
        writer->page_first_offset = record->offset;
    dlf_record_write(record, writer->page + (size_t)writer->in_page * DLF_RECORD_SIZE);
    writer->in_page++;
    writer->record_count++;
    writer->data_bytes += record->length;
    if (record->length > writer->max_length)
        writer->max_length = record->length;
    return writer->in_page == DLF_INDEX_PAGE_RECORDS ? flush_page(writer, err) : 0;
}

int index_writer_read(struct index_writer *writer, uint64_t number, struct dlf_record *record,
                      struct dlf_err *err)
{
    uint8_t data[DLF_RECORD_SIZE];
    uint64_t in_file = (uint64_t)writer->page_count * DLF_INDEX_PAGE_RECORDS;
    if (number >= in_file) {
        dlf_record_read(record, writer->page + (size_t)(number - in_file) * DLF_RECORD_SIZE);
        return 0;
    }
    int rc = io_pread(writer->records.fd, data, sizeof(data), number * DLF_RECORD_SIZE);
    if (rc < 0)
        return dlf_fail(err, -rc, "cannot read %s/%s back: %s", writer->store->path,
                        writer->records.path, strerror(-rc));
    dlf_record_read(record, data);
    return 0;
}

/* Copies the pages behind the head, checking them again, and hashes all of it. */
static int copy_pages(struct index_writer *writer, const struct dlf_index_head *head,
                      struct store_temp *object, struct dlf_sha256_ctx *ctx, struct dlf_err *err)
{
    for (uint32_t i = 0; i < head->page_count; i++) {
        size_t size = (size_t)dlf_index_page_records(head, i) * DLF_RECORD_SIZE;
        int rc =
            io_pread(writer->records.fd, writer->page, size, (uint64_t)i * DLF_INDEX_PAGE_SIZE);
        if (rc < 0)
            return dlf_fail(err, -rc, "cannot read %s/%s back: %s", writer->store->path,
                            writer->records.path, strerror(-rc));
        rc = dlf_index_page_check(head, i, writer->page, size, err);
        if (rc < 0)
            return rc;
        dlf_sha256_add(ctx, writer->page, size);
        rc = io_write(object->fd, writer->page, size);
        if (rc < 0)
            return store_write_failed(writer->store, object, -rc, err);
    }
    return 0;
}

static int write_object(struct index_writer *writer, const struct dlf_index_head *head,
                        struct dlf_manifest *manifest, struct store_temp *object,
                        struct dlf_err *err)
{
    uint32_t size = manifest->index_head_size;
    uint8_t *data = malloc(size);
    struct dlf_sha256_ctx *ctx = dlf_sha256_begin();
    int rc = data && ctx ? 0 : dlf_fail(err, ENOMEM, "out of memory for the index head");
    if (rc == 0) {
        dlf_index_head_write(head, data);
        manifest->index_head = dlf_sha256(data, size);
        dlf_sha256_add(ctx, data, size);
        rc = dlf_sha256_check(&manifest->index_head, err);
    }
    if (rc == 0) {
        rc = io_write(object->fd, data, size);
        if (rc < 0)
            store_write_failed(writer->store, object, -rc, err);
    }
    if (rc == 0)
        rc = copy_pages(writer, head, object, ctx, err);
    if (ctx)
        manifest->index = dlf_sha256_end(ctx);
    if (rc == 0)
        rc = dlf_sha256_check(&manifest->index, err);
    free(data);
    return rc;
}

int index_writer_finish(struct index_writer *writer, struct dlf_index_head *head,
                        struct dlf_manifest *manifest, struct dlf_err *err)
{
    struct store_temp object;
    char path[DLF_OBJECT_PATH_MAX];
    int rc = writer->in_page ? flush_page(writer, err) : 0;
    if (rc < 0)
        return rc;
    head->data_size = writer->data_bytes;
    head->record_count = writer->record_count;
    head->max_length = writer->max_length;
    head->page_count = writer->page_count;
    head->pages = writer->pages;
    manifest->index_head_size = dlf_index_head_size(head->page_count, head->pack_count);
    if (manifest->index_head_size == 0)
        return dlf_fail(err, EFBIG,
                        "the index has too many pages and packs (%u and %u); a larger "
                        "--chunk-size gives fewer",
                        head->page_count, head->pack_count);
    manifest->index_size = manifest->index_head_size + head->record_count * DLF_RECORD_SIZE;

    rc = store_temp_open(writer->store, "index", &object, err);
    if (rc < 0)
        return rc;
    rc = write_object(writer, head, manifest, &object, err);
    if (rc < 0 ||
        store_has_intact(writer->store, "index", &manifest->index, manifest->index_size)) {
        store_temp_drop(writer->store, &object);
        return rc;
    }
    dlf_object_path(path, "index", &manifest->index);
    rc = store_temp_commit(writer->store, &object, path, err);
    return rc < 0 ? rc : store_sync(writer->store, "index", err);
}
