/*
 * The boot pack, one stream: its table, the index head, every chunk that the table names. It is the
 * first thing that is asked for when the manifest is here; image_head.c has the order of events.
 * The rest is done in the scheduler's thread; chunks settle in the cache's workers too, and by then
 * the head is here.
 *
 *   piece           asked for from within     when it cannot be had
 *   table           dlf_image_boot_begin      given up
 *   index head      the table's done          given up, unless the head came from the index object
 *   chunks          the head's done           given up; the cache asks their packs
 *
 * Where the index object's head is sooner than the table, the chunks are asked for from within the
 * table's done, and the stream's copy of the head passes unused.
 *
 * A boot pack is a convenience: where it is faulty in any way, the index object has the same head
 * and the packs have the same chunks.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fuse/image_private.h"
#include "fuse/log.h"
#include "fuse/util.h"

/* Of the cache, so that the stream does not push out chunks that are being read. */
#define BOOT_SHARE_OF_CACHE 2

static void give_up(struct dlf_image *im, const char *why)
{
    bool first = atomic_exchange(&im->boot_state, DLF_BOOT_FAILED) != DLF_BOOT_FAILED;
    if (im->head.state == HEAD_AWAITED)
        dlf_image_head_ask(im);
    else
        dlf_pages_drop_boot(im->pages);
    if (first)
        dlf_warn("the boot pack cannot be used: %s; the boot goes on without it", why);
}

void dlf_image_boot_failed(void *cookie, const struct dlf_err *err)
{
    give_up(cookie, err->msg);
}

/* Its chunks are expected from now on, in boot order. */
static void apply_table(struct dlf_image *im)
{
    const struct dlf_boot_table *t = &im->boot_table;
    if (t->data_size > im->cache_bytes / BOOT_SHARE_OF_CACHE) {
        give_up(im, "the cache is too small for it");
        return;
    }
    int rc = dlf_pages_add_boot(im->pages, t);
    if (rc < 0) {
        give_up(im, rc == -ENOMEM ? "out of memory" : "it does not fit its index");
        return;
    }
    atomic_store(&im->boot_left, t->record_count + 1);
    for (uint32_t i = 0; rc >= 0 && i < t->record_count; i++) {
        struct dlf_spot spot = {.kind = DLF_SPOT_CHUNK,
                                .boot = true,
                                .chunk = t->records[i].pack,
                                .record = t->records[i]};
        rc = dlf_cache_get(im->cache, &spot, DLF_PREFETCH, NULL, NULL, 0, 0);
        if (rc != DLF_CACHE_ASKED)
            dlf_image_boot_settled(im);
    }
    dlf_image_boot_settled(im);
}

void dlf_image_boot_settled(struct dlf_image *im)
{
    uint8_t streaming = DLF_BOOT_STREAMING;
    if (atomic_fetch_sub(&im->boot_left, 1) == 1)
        atomic_compare_exchange_strong(&im->boot_state, &streaming, DLF_BOOT_DONE);
}

void dlf_image_boot_use(struct dlf_image *im)
{
    if (im->boot_table.table_size)
        apply_table(im);
}

static void head_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                      const struct dlf_err *err)
{
    struct dlf_image *im = DLF_CONTAINER(struct dlf_image, boot_head_fetch, fetch);
    if (rc == 0)
        dlf_image_head_came(im, bytes);
    else if (rc != -ESHUTDOWN && im->head.state == HEAD_AWAITED)
        give_up(im, err->msg);
}

/* Asks for a piece of the boot pack: its place, digest and done are set. */
static void ask_for(struct dlf_image *im, struct dlf_fetch *f)
{
    f->kind = DLF_BOOT_KIND;
    f->object = im->manifest.boot;
    f->replaceable = true;
    atomic_init(&f->class, DLF_PREFETCH);
    dlf_image_submit(im, f);
}

/* The next piece of the stream that the table has opened. */
static void ask_for_head(struct dlf_image *im)
{
    const struct dlf_manifest *m = &im->manifest;
    struct dlf_fetch *f = &im->boot_head_fetch;
    f->offset = m->boot_table_size;
    f->length = m->index_head_size;
    f->sha256 = m->index_head;
    f->done = head_done;
    ask_for(im, f);
}

static void table_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                       const struct dlf_err *err)
{
    struct dlf_image *im = DLF_CONTAINER(struct dlf_image, boot_table_fetch, fetch);
    const struct dlf_manifest *m = &im->manifest;
    struct dlf_err why;
    if (rc == 0) {
        rc = dlf_boot_table_parse(&im->boot_table, bytes, m->boot_table_size, m->index_head_size,
                                  m->image_size, m->boot_size, dlf_manifest_chunks(m), &why);
        err = &why;
    }
    if (rc == -ESHUTDOWN || im->head.state == HEAD_FAILED)
        return;
    if (rc < 0)
        give_up(im, err->msg);
    else if (im->head.state == HEAD_AWAITED)
        ask_for_head(im);
    else
        apply_table(im);
}

void dlf_image_boot_begin(struct dlf_image *im)
{
    const struct dlf_manifest *m = &im->manifest;
    struct dlf_fetch *f = &im->boot_table_fetch;
    f->length = m->boot_table_size;
    f->sha256 = m->boot_table;
    f->stream_bytes = m->boot_size;
    f->done = table_done;
    atomic_store(&im->boot_state, DLF_BOOT_STREAMING);
    ask_for(im, f);
}
