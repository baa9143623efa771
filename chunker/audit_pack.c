/* Reads each pack once, whole: its digest, then each chunk that the indexes place in it. */
#include "chunker/audit_pack.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "chunker/io.h"
#include "chunker/log.h"
#include "chunker/pack_reader.h"

/* Reads the record behind a reference; keeps its page. */
static int read_record(struct audit *audit, const struct reference *reference,
                       struct dlf_record *record)
{
    const struct audit_source *source = &audit->sources[reference->source];
    uint32_t page = reference->record / DLF_INDEX_PAGE_RECORDS;
    if (audit->page_source != source || audit->page_number != page) {
        audit->page_source = NULL;
        int rc = stored_index_page(&source->index, page, audit->page, NULL);
        if (rc < 0)
            return rc;
        audit->page_source = source;
        audit->page_number = page;
    }
    dlf_record_read(record, audit->page + (size_t)(reference->record % DLF_INDEX_PAGE_RECORDS) *
                                              DLF_RECORD_SIZE);
    return 0;
}

static void check_chunk(struct audit *audit, const char *path, const struct reference *reference)
{
    struct dlf_record record;
    struct dlf_err why;
    const struct audit_source *source = &audit->sources[reference->source];
    audit->counts.chunks++;
    if (read_record(audit, reference, &record) < 0) {
        audit_damage(audit, "%s/%s: record %u cannot be read any more", audit->store->path,
                     source->index.path, reference->record);
        return;
    }
    /* The record lies within the pack's size, which was compared with the file's. */
    if (chunk_check(audit->decoder, &record, audit->pack + record.pack_offset, audit->content,
                    &why) < 0)
        audit_damage(audit,
                     "%s/%s: chunk at byte %u, %u bytes (%s serial %" PRIu64 ", record %u, image "
                     "offset %" PRIu64 "): %s",
                     audit->store->path, path, record.pack_offset, record.stored_length,
                     source->name, source->serial, reference->record, record.offset, why.msg);
}

/* Reads a pack into audit->pack. Returns the number of bytes, or a negative errno with the reason.
 */
static ssize_t read_pack(struct audit *audit, const char *path, struct dlf_err *err)
{
    uint64_t size;
    int fd = store_object_open(audit->store, path, &size, err);
    if (fd < 0)
        return fd;
    ssize_t got = io_read(fd, audit->pack, (size_t)DLF_PACK_MAX + 1);
    close(fd);
    if (got < 0)
        return dlf_fail(err, (int)-got, "cannot read %s/%s: %s", audit->store->path, path,
                        strerror((int)-got));
    audit->counts.packs++;
    audit->counts.bytes += (uint64_t)got;
    return got;
}

static void check_pack(struct audit *audit, uint32_t number)
{
    const struct dlf_index_pack *pack = &audit->packs.packs[number];
    uint64_t damages = audit->counts.damages;
    char path[DLF_OBJECT_PATH_MAX];
    struct dlf_err why;
    size_t count;
    const struct reference *references = reference_of_pack(&audit->references, number, &count);

    dlf_object_path(path, "pack", &pack->sha256);
    ssize_t size = read_pack(audit, path, &why);
    if (size < 0) {
        audit_damage(audit, "%s (%zu chunks are in it)", why.msg, count);
        return;
    }
    if ((size_t)size != pack->size) {
        audit_damage(audit, "%s/%s has %zd bytes, the index says %u (%zu chunks are in it)",
                     audit->store->path, path, size, pack->size, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        check_chunk(audit, path, &references[i]);
    struct dlf_sha256 digest = dlf_sha256(audit->pack, (size_t)size);
    if (audit->counts.damages == damages && !dlf_sha256_fits(&digest, &pack->sha256))
        audit_damage(audit, "%s/%s: its SHA-256 is not its name, though no chunk in use is damaged",
                     audit->store->path, path);
}

static void check_unused_pack(struct audit *audit, const char *hex)
{
    struct dlf_index_pack pack;
    struct dlf_err why;
    char path[DLF_OBJECT_PATH_MAX];
    if (!dlf_sha256_parse(&pack.sha256, hex))
        return;
    dlf_object_path(path, "pack", &pack.sha256);
    ssize_t size = read_pack(audit, path, &why);
    if (size < 0) {
        audit_damage(audit, "%s", why.msg);
        return;
    }
    pack.size = (uint32_t)size;
    if (pack_set_find(&audit->packs, &pack) != PACK_NONE) {
        audit->counts.packs--;
        audit->counts.bytes -= (uint64_t)size;
        return;
    }
    audit->counts.unused_packs++;
    struct dlf_sha256 digest = dlf_sha256(audit->pack, (size_t)size);
    if (!dlf_sha256_fits(&digest, &pack.sha256))
        audit_damage(audit, "%s/%s: its SHA-256 is not its name (no image uses it)",
                     audit->store->path, path);
}

int audit_packs(struct audit *audit, bool unused, struct dlf_err *err)
{
    struct store_list names;
    log_progress_start("checking", 0);
    for (uint32_t i = 0; i < audit->packs.count; i++) {
        check_pack(audit, i);
        log_progress(audit->counts.bytes);
    }
    int rc = unused ? store_list(audit->store, "pack", &names, err) : 0;
    if (rc == 0 && unused) {
        for (size_t i = 0; i < names.count; i++)
            check_unused_pack(audit, names.names[i]);
        store_list_free(&names);
    }
    log_progress_stop();
    return rc;
}
