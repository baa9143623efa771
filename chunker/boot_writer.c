/* Chunks go to a temporary file, behind room for table and head; the table is known last. */
#include "chunker/boot_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/crew.h"
#include "chunker/index_lookup.h"
#include "chunker/io.h"
#include "chunker/log.h"
#include "chunker/pack_reader.h"
#include "format/boot.h"

struct boot_writer {
    struct store *store;
    const struct stored_index *index;
    const struct boot_options *options;
    struct crew crew;
    struct dlf_record *sources;  /* the index's records, in boot order */
    struct dlf_boot_table table; /* calling thread; later is borrowed */
    struct store_temp object;    /* calling thread */
    uint32_t *numbers;           /* borrowed: chunk numbers in boot order */
};

/* The index's records of all chunks. */
static int read_sources(struct boot_writer *w, struct dlf_err *err)
{
    struct index_lookup lookup;
    int rc = index_lookup_init(&lookup, w->index, err);
    for (uint32_t i = 0; rc == 0 && i < w->table.record_count; i++)
        rc = index_lookup_get(&lookup, w->numbers[i], &w->sources[i], err);
    index_lookup_free(&lookup);
    return rc;
}

static void submit_all(void *context)
{
    struct boot_writer *w = context;
    for (uint32_t i = 0; i < w->table.record_count; i++) {
        struct job *job = queue_reserve(w->crew.queue);
        if (!job)
            return;
        job->record = w->sources[i];
        queue_submit(w->crew.queue, job);
    }
    queue_end(w->crew.queue);
}

static int encode(struct boot_writer *w, struct pack_reader *reader, struct dlf_encoder *encoder,
                  struct job *job, struct dlf_err *err)
{
    struct dlf_record *r = &job->record;
    int rc = pack_reader_read(reader, &w->index->head.packs[r->pack], r, err);
    if (rc < 0)
        return rc;
    r->stored_length = dlf_encode(encoder, reader->content, r->length, job->stored, &r->codec);
    r->sha256 = dlf_sha256(job->stored, r->stored_length);
    return dlf_sha256_check(&r->sha256, err);
}

static void encode_jobs(void *context)
{
    struct boot_writer *w = context;
    struct pack_reader reader;
    struct dlf_err err;
    struct job *job;
    struct dlf_encoder *encoder = dlf_encoder_new(w->options->codec, w->options->level);
    int rc = pack_reader_init(&reader, w->store, &err);
    if (rc == 0 && !encoder) {
        pack_reader_free(&reader);
        rc = dlf_fail(&err, ENOMEM, "out of memory for the encoder");
    }
    if (rc == 0) {
        while (rc == 0 && (job = queue_take(w->crew.queue)) != NULL) {
            rc = encode(w, &reader, encoder, job, &err);
            if (rc == 0)
                queue_done(w->crew.queue, job);
        }
        pack_reader_free(&reader);
    }
    if (rc < 0)
        crew_fail(&w->crew, rc, &err);
    dlf_encoder_free(encoder);
}

static void append_all(void *context)
{
    struct boot_writer *w = context;
    struct job *job;
    struct dlf_err err;
    uint32_t i = 0;
    int rc = 0;
    while (rc == 0 && (job = queue_collect(w->crew.queue)) != NULL) {
        struct dlf_record *r = &w->table.records[i];
        *r = job->record;
        r->pack = w->numbers[i++];
        r->pack_offset = (uint32_t)w->table.size; /* at most DLF_BOOT_MAX */
        w->table.size += r->stored_length;
        rc = io_pwrite(w->object.fd, job->stored, r->stored_length, r->pack_offset);
        queue_release(w->crew.queue, job);
        log_progress(w->table.size);
    }
    if (rc < 0)
        crew_fail(&w->crew, store_write_failed(w->store, &w->object, -rc, &err), &err);
}

/* Writes the table, and the index head with the same bytes as in the index object. */
static int write_front(struct boot_writer *w, struct dlf_manifest *manifest, struct dlf_err *err)
{
    const struct dlf_boot_table *t = &w->table;
    size_t size = (size_t)t->table_size + t->head_size;
    uint8_t *data = malloc(size);
    if (!data)
        return dlf_fail(err, ENOMEM, "out of memory for the boot pack's table");
    dlf_boot_table_write(t, data);
    dlf_index_head_write(&w->index->head, data + t->table_size);
    manifest->boot_size = t->size;
    manifest->boot_table_size = t->table_size;
    manifest->boot_table = dlf_sha256(data, t->table_size);
    int rc = dlf_sha256_check(&manifest->boot_table, err);
    int written = rc < 0 ? 0 : io_pwrite(w->object.fd, data, size, 0);
    free(data);
    return written < 0 ? store_write_failed(w->store, &w->object, -written, err) : rc;
}

/* Writes table and head; then hashes the whole object and gives it its name. */
static int finish(struct boot_writer *w, struct dlf_manifest *manifest, struct dlf_err *err)
{
    char path[DLF_OBJECT_PATH_MAX];
    int rc = write_front(w, manifest, err);
    if (rc < 0)
        return rc;
    rc = store_hash(w->object.fd, w->table.size, &manifest->boot);
    if (rc < 0)
        return dlf_fail(err, -rc, "cannot read %s/%s back: %s", w->store->path, w->object.path,
                        strerror(-rc));
    if (store_has_intact(w->store, DLF_BOOT_KIND, &manifest->boot, manifest->boot_size))
        return 0;
    dlf_object_path(path, DLF_BOOT_KIND, &manifest->boot);
    rc = store_temp_commit(w->store, &w->object, path, err);
    return rc < 0 ? rc : store_sync(w->store, DLF_BOOT_KIND, err);
}

static int write_object(struct boot_writer *w, struct dlf_manifest *manifest, struct dlf_err *err)
{
    const struct crew_work work = {
        .read = submit_all, .work = encode_jobs, .write = append_all, .context = w};
    int rc = store_temp_open(w->store, DLF_BOOT_KIND, &w->object, err);
    if (rc < 0)
        return rc;
    rc = crew_init(&w->crew, w->options->jobs, w->index->head.max_length, err);
    if (rc == 0) {
        log_progress_start("boot pack", 0);
        rc = crew_run(&w->crew, &work, err);
        log_progress_stop();
        crew_free(&w->crew);
    }
    if (rc == 0)
        rc = finish(w, manifest, err);
    store_temp_drop(w->store, &w->object);
    return rc;
}

/* The number of first chunks that fit even if none of them shrinks. */
static uint32_t count_fitting(const struct boot_writer *w, const struct profile_order *order)
{
    uint64_t room = DLF_BOOT_MAX - DLF_BOOT_TABLE_MAX - w->table.head_size;
    uint32_t count = 0;
    while (count < w->table.record_count && w->sources[count].length <= room &&
           dlf_boot_table_size((uint64_t)count + 1, 0) != 0)
        room -= w->sources[count++].length;
    if (count < order->boot_count)
        log_warning("the boot pack holds the first %u of the profile's %zu chunks, the others "
                    "come later",
                    count, order->boot_count);
    return count;
}

/* Moves the chunks that do not fit from boot to the front of later, and cuts later. */
static int fit(struct boot_writer *w, struct profile_order *order, struct dlf_err *err)
{
    uint32_t count = count_fitting(w, order);
    size_t more = order->boot_count - count;
    size_t room = (DLF_BOOT_TABLE_MAX - dlf_boot_table_size(count, 0)) / sizeof(*order->later);
    uint32_t *later = malloc((more + order->later_count + 1) * sizeof(*later));
    if (!later)
        return dlf_fail(err, ENOMEM, "out of memory for the boot pack's table");
    memcpy(later, order->boot + count, more * sizeof(*later));
    memcpy(later + more, order->later, order->later_count * sizeof(*later));
    free(order->later);
    order->later = later;
    order->later_count += more;
    if (order->later_count > room)
        order->later_count = room;
    order->boot_count = count;
    return 0;
}

static int prepare(struct boot_writer *w, struct profile_order *order, struct dlf_err *err)
{
    struct dlf_boot_table *t = &w->table;
    w->numbers = order->boot;
    t->head_size = dlf_index_head_size(w->index->head.page_count, w->index->head.pack_count);
    /* An index has fewer chunks than 2^32. */
    t->record_count = (uint32_t)order->boot_count;
    w->sources = calloc(order->boot_count + 1, sizeof(*w->sources));
    t->records = calloc(order->boot_count + 1, sizeof(*t->records));
    int rc = w->sources && t->records
                 ? read_sources(w, err)
                 : dlf_fail(err, ENOMEM, "out of memory for the boot pack's table");
    if (rc == 0)
        rc = fit(w, order, err);
    if (rc < 0)
        return rc;
    t->record_count = (uint32_t)order->boot_count;
    t->later_count = (uint32_t)order->later_count;
    t->later = order->later;
    t->image_size = w->index->head.image_size;
    t->table_size = dlf_boot_table_size(t->record_count, t->later_count);
    t->size = (uint64_t)t->table_size + t->head_size;
    for (uint32_t i = 0; i < t->record_count; i++) {
        t->data_size += w->sources[i].length;
        if (w->sources[i].length > t->max_length)
            t->max_length = w->sources[i].length;
    }
    return 0;
}

int boot_write(struct store *store, const struct stored_index *index, struct profile_order *order,
               const struct boot_options *options, struct dlf_manifest *manifest,
               uint64_t *data_bytes, struct dlf_err *err)
{
    struct boot_writer w = {.store = store, .index = index, .options = options};
    int rc = prepare(&w, order, err);
    if (rc == 0)
        rc = write_object(&w, manifest, err);
    if (rc == 0)
        *data_bytes = w.table.data_size;
    free(w.sources);
    free(w.table.records);
    return rc;
}
