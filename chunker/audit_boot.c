/* Reads each boot pack once: table, copy of the index head, chunks; hashing as it goes. */
#include "chunker/audit_boot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/audit_pack.h"
#include "chunker/index_lookup.h"
#include "chunker/io.h"
#include "chunker/log.h"
#include "chunker/pack_reader.h"
#include "chunker/stored_boot.h"
#include "format/boot.h"

/* A boot pack being read. */
struct reading {
    struct audit *audit;
    const struct dlf_manifest *manifest;
    struct stored_boot boot;
    struct index_lookup lookup; /* index is NULL when it cannot be read; that was reported */
    struct dlf_sha256_ctx *ctx;
    int fd;
};

/* Two limits happen to be the same. NOLINTNEXTLINE(misc-redundant-expression) */
_Static_assert(DLF_INDEX_HEAD_MAX <= DLF_PACK_MAX && DLF_BOOT_TABLE_MAX <= DLF_PACK_MAX,
               "an audit's buffer is too small for a boot pack");

/* Reads size bytes into audit->pack, which has room for a table, an index head or a chunk. */
static int read_next(struct reading *in, uint32_t size)
{
    ssize_t got = io_read(in->fd, in->audit->pack, size);
    if (got < 0 || (size_t)got != size)
        return got < 0 ? (int)got : -EBADMSG;
    dlf_sha256_add(in->ctx, in->audit->pack, size);
    in->audit->counts.bytes += size;
    log_progress(in->audit->counts.bytes);
    return 0;
}

/* True when the index has the same chunk; only where and how it is stored may differ. A record that
 * cannot be read counts as agreeing. */
static bool agrees(struct reading *in, const struct dlf_record *record)
{
    struct dlf_record indexed;
    return !in->lookup.index || index_lookup_get(&in->lookup, record->pack, &indexed, NULL) < 0 ||
           (indexed.offset == record->offset && indexed.length == record->length &&
            indexed.xxh3 == record->xxh3);
}

static void check_head(struct reading *in)
{
    const struct dlf_manifest *manifest = in->manifest;
    struct dlf_sha256 found = dlf_sha256(in->audit->pack, manifest->index_head_size);
    if (!dlf_sha256_fits(&found, &manifest->index_head))
        audit_damage(in->audit,
                     "%s/%s: the copy of the index head at byte %u, %u bytes (%s serial %" PRIu64
                     "): wrong SHA-256",
                     in->audit->store->path, in->boot.path, manifest->boot_table_size,
                     manifest->index_head_size, manifest->name, manifest->serial);
}

static void check_chunk(struct reading *in, uint32_t number)
{
    struct audit *audit = in->audit;
    const struct dlf_record *record = &in->boot.table.records[number];
    struct dlf_err why;
    audit->counts.chunks++;
    if (chunk_check(audit->decoder, record, audit->pack, audit->content, &why) < 0)
        audit_damage(audit,
                     "%s/%s: chunk %u at byte %u, %u bytes (%s serial %" PRIu64 ", image offset "
                     "%" PRIu64 "): %s",
                     audit->store->path, in->boot.path, number, record->pack_offset,
                     record->stored_length, in->manifest->name, in->manifest->serial,
                     record->offset, why.msg);
    else if (!agrees(in, record))
        audit_damage(audit, "%s/%s: chunk %u is not record %u of the index of %s serial %" PRIu64,
                     audit->store->path, in->boot.path, number, record->pack, in->manifest->name,
                     in->manifest->serial);
}

static void check_bytes(struct reading *in)
{
    struct audit *audit = in->audit;
    uint64_t damages = audit->counts.damages;
    int rc = read_next(in, in->boot.table.table_size);
    if (rc == 0)
        rc = read_next(in, in->boot.table.head_size);
    if (rc == 0)
        check_head(in);
    for (uint32_t i = 0; rc == 0 && i < in->boot.table.record_count; i++) {
        rc = read_next(in, in->boot.table.records[i].stored_length);
        if (rc == 0)
            check_chunk(in, i);
    }
    struct dlf_sha256 found = dlf_sha256_end(in->ctx);
    if (rc < 0)
        audit_damage(audit, "cannot read %s/%s: %s", audit->store->path, in->boot.path,
                     strerror(-rc));
    else if (audit->counts.damages == damages && !dlf_sha256_fits(&found, &in->manifest->boot))
        audit_damage(audit, "%s/%s: its SHA-256 is not its name, though nothing in it is damaged",
                     audit->store->path, in->boot.path);
}

/* The index that the manifest names, if its head could be read. */
static const struct stored_index *find_index(const struct audit *audit,
                                             const struct dlf_manifest *manifest)
{
    for (uint32_t i = 0; i < audit->source_count; i++) {
        const struct audit_source *source = &audit->sources[i];
        if (dlf_sha256_equal(&source->digest, &manifest->index) && source->index.head.record_count)
            return &source->index;
    }
    return NULL;
}

static int check_boot(struct audit *audit, const struct dlf_manifest *manifest)
{
    struct reading in = {.audit = audit, .manifest = manifest};
    struct dlf_err why;
    uint64_t size;
    audit->counts.boot_packs++;
    if (stored_boot_open(&in.boot, audit->store, manifest, &why) < 0) {
        audit_damage(audit, "%s (boot pack of %s serial %" PRIu64 ")", why.msg, manifest->name,
                     manifest->serial);
        return 0;
    }
    int rc = index_lookup_init(&in.lookup, find_index(audit, manifest), NULL);
    in.ctx = dlf_sha256_begin();
    in.fd = store_object_open(audit->store, in.boot.path, &size, &why);
    if (in.fd < 0)
        audit_damage(audit, "%s", why.msg);
    else if (!in.ctx)
        rc = -ENOMEM;
    else if (rc == 0)
        check_bytes(&in);
    if (in.ctx && (in.fd < 0 || rc < 0))
        dlf_sha256_end(in.ctx);
    if (in.fd >= 0)
        close(in.fd);
    index_lookup_free(&in.lookup);
    stored_boot_close(&in.boot);
    return rc;
}

int audit_boot(struct audit *audit, const struct dlf_manifest *manifest)
{
    if (!manifest->boot_size)
        return 0;
    for (uint32_t i = 0; i < audit->boot_count; i++) {
        if (dlf_sha256_equal(&audit->boots[i].boot, &manifest->boot) &&
            dlf_sha256_equal(&audit->boots[i].index, &manifest->index))
            return 0;
    }
    struct audit_boot *boots = realloc(audit->boots, (audit->boot_count + 1) * sizeof(*boots));
    if (!boots)
        return -ENOMEM;
    audit->boots = boots;
    boots[audit->boot_count++] =
        (struct audit_boot){.boot = manifest->boot, .index = manifest->index};
    return check_boot(audit, manifest);
}

static bool is_named(const struct audit *audit, const struct dlf_sha256 *digest)
{
    for (uint32_t i = 0; i < audit->boot_count; i++) {
        if (dlf_sha256_equal(&audit->boots[i].boot, digest))
            return true;
    }
    return false;
}

static void check_unused(struct audit *audit, const char *hex)
{
    struct dlf_sha256 wanted;
    char path[DLF_OBJECT_PATH_MAX];
    uint64_t size = 0;
    if (!dlf_sha256_parse(&wanted, hex) || is_named(audit, &wanted))
        return;
    dlf_object_path(path, DLF_BOOT_KIND, &wanted);
    int fd = store_object_open(audit->store, path, &size, NULL);
    if (fd >= 0)
        close(fd);
    audit->counts.boot_packs++;
    audit->counts.bytes += size;
    if (!store_has_intact(audit->store, DLF_BOOT_KIND, &wanted, size))
        audit_damage(audit, "%s/%s: its SHA-256 is not its name (no image uses it)",
                     audit->store->path, path);
}

int audit_unused_boots(struct audit *audit, struct dlf_err *err)
{
    struct store_list names;
    int rc = store_list(audit->store, DLF_BOOT_KIND, &names, err);
    if (rc == -ENOENT) /* a store older than boot packs */
        return 0;
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < names.count; i++)
        check_unused(audit, names.names[i]);
    store_list_free(&names);
    return 0;
}
