/* Checks manifests and indexes first: they list the contents of the packs. Packs are in
 * audit_pack.c, boot packs in audit_boot.c. */
#include "chunker/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/audit_boot.h"
#include "chunker/audit_pack.h"
#include "chunker/log.h"

void audit_damage(struct audit *audit, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    audit->counts.damages++;
    audit->report(audit->context, line);
}

/* While an index's records are collected. */
struct collecting {
    struct audit *audit;
    const uint32_t *pack_numbers;
    uint32_t source;
};

/* Adds a page's records to the references. */
static int collect_page(struct collecting *collecting, uint32_t page, uint32_t count)
{
    struct audit *audit = collecting->audit;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        struct dlf_record record;
        dlf_record_read(&record, audit->page + (size_t)i * DLF_RECORD_SIZE);
        rc = reference_add(&audit->references, collecting->pack_numbers[record.pack],
                           collecting->source, page * DLF_INDEX_PAGE_RECORDS + i, &record);
    }
    return rc;
}

static int collect_packs(struct audit *audit, const struct dlf_index_head *head, uint32_t *numbers)
{
    for (uint32_t i = 0; i < head->pack_count; i++) {
        numbers[i] = pack_set_add(&audit->packs, &head->packs[i]);
        if (numbers[i] == PACK_NONE)
            return -ENOMEM;
    }
    return 0;
}

/* Checks each page by itself, so that each damaged page is named and the others still count. */
static int check_pages(struct audit *audit, struct audit_source *source)
{
    const struct dlf_index_head *head = &source->index.head;
    uint64_t damages = audit->counts.damages;
    uint32_t *numbers = calloc((size_t)head->pack_count + 1, sizeof(*numbers));
    struct collecting collecting = {
        .audit = audit, .pack_numbers = numbers, .source = (uint32_t)(source - audit->sources)};
    int rc = numbers ? collect_packs(audit, head, numbers) : -ENOMEM;
    audit->page_source = NULL;
    for (uint32_t page = 0; rc == 0 && page < head->page_count; page++) {
        struct dlf_err why;
        if (stored_index_page(&source->index, page, audit->page, &why) < 0)
            audit_damage(audit, "%s", why.msg);
        else
            rc = collect_page(&collecting, page, dlf_index_page_records(head, page));
    }
    free(numbers);
    if (rc == 0 && audit->counts.damages == damages &&
        !store_has_intact(audit->store, "index", &source->digest, source->index.size_bytes))
        audit_damage(audit, "%s/%s: its SHA-256 is not its name", audit->store->path,
                     source->index.path);
    return rc;
}

/* Checks the index of a manifest, unless that was done already. */
static int check_index(struct audit *audit, const struct dlf_manifest *manifest)
{
    struct dlf_err why;
    for (uint32_t i = 0; i < audit->source_count; i++) {
        if (dlf_sha256_equal(&audit->sources[i].digest, &manifest->index))
            return 0;
    }
    struct audit_source *sources =
        realloc(audit->sources, (audit->source_count + 1) * sizeof(*sources));
    if (!sources)
        return -ENOMEM;
    audit->sources = sources;
    audit->page_source = NULL;
    struct audit_source *source = &sources[audit->source_count];
    memset(source, 0, sizeof(*source));
    source->digest = manifest->index;
    source->serial = manifest->serial;
    memcpy(source->name, manifest->name, sizeof(source->name));
    audit->source_count++;
    audit->counts.indexes++;
    if (stored_index_open(&source->index, audit->store, manifest, &why) < 0) {
        audit_damage(audit, "%s (index of %s serial %" PRIu64 ")", why.msg, source->name,
                     source->serial);
        return 0;
    }
    audit->counts.bytes += source->index.size_bytes;
    return check_pages(audit, source);
}

/* Checks a manifest's objects: the index, then the boot pack, which is compared with the index. */
static int check_objects(struct audit *audit, const struct dlf_manifest *manifest)
{
    int rc = check_index(audit, manifest);
    return rc < 0 ? rc : audit_boot(audit, manifest);
}

/* A parsed manifest that is written again gives the bytes that were read. */
static void check_signature(struct audit *audit, const struct dlf_manifest *manifest)
{
    char text[DLF_MANIFEST_MAX];
    char signed_by[DLF_KEY_ID_HEX + 1];
    struct dlf_err why;
    int n = dlf_manifest_format(manifest, text, sizeof(text));
    if (n < 0 ||
        dlf_signed_verify(audit->keys, DLF_SIGNS_MANIFEST, text, (size_t)n, signed_by, &why) < 0)
        audit_damage(audit, "%s/%s" DLF_MANIFEST_SUFFIX ": %s", audit->store->path, manifest->name,
                     n < 0 ? "it cannot be written again" : why.msg);
}

/* Checks NAME.dlfuse, its signature, its copy, its objects. */
static int check_image(struct audit *audit, const char *name)
{
    struct dlf_manifest manifest;
    struct dlf_manifest copied;
    struct dlf_sha256 digest;
    struct dlf_sha256 copy_digest;
    struct dlf_err why;
    char path[DLF_OBJECT_PATH_MAX];

    audit->counts.manifests++;
    if (store_read_manifest(audit->store, name, &manifest, &digest, &why) < 0) {
        audit_damage(audit, "%s", why.msg);
        return 0;
    }
    if (audit->keys)
        check_signature(audit, &manifest);
    dlf_object_path(path, "manifest", &digest);
    if (store_read_manifest_at(audit->store, path, &copied, &copy_digest, &why) < 0)
        audit_damage(audit, "%s (the copy of %s" DLF_MANIFEST_SUFFIX ")", why.msg, name);
    else if (!dlf_sha256_fits(&digest, &copy_digest))
        audit_damage(audit, "%s/%s: its SHA-256 is not its name", audit->store->path, path);
    return check_objects(audit, &manifest);
}

/* Checks a file in manifest/: its name, its objects. */
static int check_kept_manifest(struct audit *audit, const char *hex)
{
    struct dlf_manifest manifest;
    struct dlf_sha256 wanted;
    struct dlf_sha256 digest;
    struct dlf_err why;
    char path[DLF_OBJECT_PATH_MAX];

    if (!dlf_sha256_parse(&wanted, hex))
        return 0;
    dlf_object_path(path, "manifest", &wanted);
    audit->counts.manifests++;
    if (store_read_manifest_at(audit->store, path, &manifest, &digest, &why) < 0) {
        audit_damage(audit, "%s", why.msg);
        return 0;
    }
    if (!dlf_sha256_fits(&digest, &wanted)) {
        audit_damage(audit, "%s/%s: its SHA-256 is not its name", audit->store->path, path);
        return 0;
    }
    return check_objects(audit, &manifest);
}

static int check_list(struct audit *audit,
                      int (*list)(const struct store *, struct store_list *, struct dlf_err *),
                      int (*check)(struct audit *, const char *), struct dlf_err *err)
{
    struct store_list names;
    int rc = list(audit->store, &names, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        rc = check(audit, names.names[i]);
    store_list_free(&names);
    return rc < 0 ? dlf_fail(err, -rc, "out of memory for checking %s", audit->store->path) : 0;
}

static int list_manifests(const struct store *store, struct store_list *list, struct dlf_err *err)
{
    return store_list(store, "manifest", list, err);
}

/* Indexes that no manifest names: left by a killed run, or their manifests are damaged. */
static int check_unused_index(struct audit *audit, const char *hex)
{
    struct dlf_sha256 wanted;
    char path[DLF_OBJECT_PATH_MAX];
    uint64_t size = 0;
    if (!dlf_sha256_parse(&wanted, hex))
        return 0;
    for (uint32_t i = 0; i < audit->source_count; i++) {
        if (dlf_sha256_equal(&audit->sources[i].digest, &wanted))
            return 0;
    }
    dlf_object_path(path, "index", &wanted);
    int fd = store_object_open(audit->store, path, &size, NULL);
    if (fd >= 0)
        close(fd);
    audit->counts.indexes++;
    audit->counts.bytes += size;
    if (!store_has_intact(audit->store, "index", &wanted, size))
        audit_damage(audit, "%s/%s: its SHA-256 is not its name", audit->store->path, path);
    return 0;
}

static int list_indexes(const struct store *store, struct store_list *list, struct dlf_err *err)
{
    return store_list(store, "index", list, err);
}

static int check_everything(struct audit *audit, struct dlf_err *err)
{
    int rc = check_list(audit, store_images, check_image, err);
    if (rc == 0)
        rc = check_list(audit, list_manifests, check_kept_manifest, err);
    if (rc == 0)
        rc = check_list(audit, list_indexes, check_unused_index, err);
    if (rc == 0)
        rc = audit_unused_boots(audit, err);
    return rc;
}

int audit_store(struct audit *audit, const char *name, struct dlf_err *err)
{
    int rc;
    audit->pack = malloc((size_t)DLF_PACK_MAX + 1);
    audit->content = malloc(DLF_CHUNK_MAX);
    audit->page = malloc(DLF_INDEX_PAGE_SIZE);
    audit->decoder = dlf_decoder_new();
    if (!audit->pack || !audit->content || !audit->page || !audit->decoder)
        return dlf_fail(err, ENOMEM, "out of memory for checking %s", audit->store->path);
    if (name) {
        rc = check_image(audit, name);
        if (rc < 0)
            dlf_fail(err, -rc, "out of memory for checking %s", audit->store->path);
    } else {
        rc = check_everything(audit, err);
    }
    if (rc == 0) {
        reference_sort(&audit->references);
        rc = audit_packs(audit, name == NULL, err);
    }
    return rc;
}

void audit_free(struct audit *audit)
{
    for (uint32_t i = 0; i < audit->source_count; i++)
        stored_index_close(&audit->sources[i].index);
    free(audit->sources);
    free(audit->boots);
    free(audit->pack);
    free(audit->content);
    dlf_decoder_free(audit->decoder);
    free(audit->page);
    pack_set_free(&audit->packs);
    reference_free(&audit->references);
}
