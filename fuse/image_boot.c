/*
 * The boot pack: its table comes first in one stream, then every chunk that the table names is
 * expected from there. All in the scheduler's thread. It is asked for when the index head is here,
 * on the same connection: a second one would have to be made first, which takes the same round
 * trip.
 *
 * A boot pack is a convenience: whatever is wrong with it, the packs have the same chunks.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "fuse/image_private.h"
#include "fuse/log.h"

/* Of the cache, so that what streams in does not push out what is being read. */
#define BOOT_SHARE_OF_CACHE 2

static void give_up(struct dlf_image *im, const char *why)
{
    bool first = atomic_exchange(&im->boot_state, DLF_BOOT_FAILED) != DLF_BOOT_FAILED;
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

static void table_done(struct dlf_fetch *fetch, int rc, const uint8_t *bytes,
                       const struct dlf_err *err)
{
    struct dlf_image *im =
        (struct dlf_image *)(void *)((char *)fetch - offsetof(struct dlf_image, boot_fetch));
    const struct dlf_manifest *m = &im->manifest;
    struct dlf_err why;
    if (rc == 0) {
        rc = dlf_boot_table_parse(&im->boot_table, bytes, m->boot_table_size, m->index_head_size,
                                  m->image_size, m->boot_size, dlf_manifest_chunks(m), &why);
        err = &why;
    }
    if (rc == -ESHUTDOWN)
        return;
    if (rc < 0)
        give_up(im, err->msg);
    else
        apply_table(im);
}

void dlf_image_boot_begin(struct dlf_image *im)
{
    const struct dlf_manifest *m = &im->manifest;
    struct dlf_fetch *f = &im->boot_fetch;
    f->kind = DLF_BOOT_KIND;
    f->object = m->boot;
    f->length = m->boot_table_size;
    f->sha256 = m->boot_table;
    f->stream_bytes = m->boot_size;
    f->replaceable = true;
    f->done = table_done;
    atomic_init(&f->class, DLF_PREFETCH);
    atomic_store(&im->boot_state, DLF_BOOT_STREAMING);
    dlf_sched_submit(im->sched, f);
}
