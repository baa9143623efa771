/*
 * Writes a store for a large image whose index is full: a record for every 64 KiB, no holes. The
 * chunks are real, but their contents repeat with a period, so that the packs stay small:
 *
 *     big-store STORE NAME GIB      STORE/NAME.dlfuse and the objects that it names
 *     big-store --chunk N           content of the chunk with that number, to stdout
 *
 * Packs hold few chunks, so that the pack table has the length that it would have for an image of
 * that size at a compression of one half.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/codec.h"
#include "format/digest.h"
#include "format/index.h"
#include "format/manifest.h"

#define CHUNK_BYTES 65536u
#define PERIOD 4096u   /* distinct chunks */
#define PACK_CHUNKS 4u /* distinct chunks in a pack */
#define CREATED 1700000000u

static void stop(const char *what, const char *name)
{
    fprintf(stderr, "big-store: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

/* xorshift64*: half of the words are noise, the other half repeat: LZ4 gets about one half. */
static void chunk_content(uint32_t number, uint8_t *out)
{
    uint64_t x = (uint64_t)number * 0x9e3779b97f4a7c15u + 0x1234567u;
    for (uint32_t at = 0; at < CHUNK_BYTES; at += 8) {
        if (at % 64 < 32) {
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
        }
        uint64_t word = at % 64 < 32 ? x * 0x2545f4914f6cdd1du : number;
        memcpy(out + at, &word, sizeof(word));
    }
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        stop("cannot write", path);
}

static void write_object(const char *store, const char *kind, const void *data, size_t size)
{
    char object[DLF_OBJECT_PATH_MAX];
    char path[4096];
    struct dlf_sha256 digest = dlf_sha256(data, size);
    dlf_object_path(object, kind, &digest);
    snprintf(path, sizeof(path), "%s/%s", store, object);
    write_file(path, data, size);
}

static void make_dir(const char *store, const char *below)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", store, below);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        stop("cannot make", path);
}

static void *must_alloc(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        stop("out of", "memory");
    return p;
}

/* The distinct chunks as records (image offset 0) and the packs that hold them. */
static uint64_t write_packs(const char *store, struct dlf_record *distinct,
                            struct dlf_index_pack *packs)
{
    static uint8_t content[CHUNK_BYTES];
    static uint8_t pack[PACK_CHUNKS * CHUNK_BYTES];
    struct dlf_encoder *enc = dlf_encoder_new(DLF_CODEC_LZ4, 1);
    uint64_t stored = 0;
    uint32_t used = 0;

    if (!enc)
        stop("out of", "memory");
    for (uint32_t i = 0; i < PERIOD; i++) {
        struct dlf_record *r = &distinct[i];
        chunk_content(i, content);
        r->length = CHUNK_BYTES;
        r->xxh3 = dlf_xxh3(content, CHUNK_BYTES);
        r->pack = i / PACK_CHUNKS;
        r->pack_offset = used;
        r->stored_length = dlf_encode(enc, content, CHUNK_BYTES, pack + used, &r->codec);
        r->sha256 = dlf_sha256(pack + used, r->stored_length);
        used += r->stored_length;
        stored += r->stored_length;
        if (i % PACK_CHUNKS == PACK_CHUNKS - 1) {
            packs[r->pack].size = used;
            packs[r->pack].sha256 = dlf_sha256(pack, used);
            write_object(store, "pack", pack, used);
            used = 0;
        }
    }
    dlf_encoder_free(enc);
    return stored;
}

static void write_records(const struct dlf_index_head *head, const struct dlf_record *distinct,
                          uint8_t *index)
{
    for (uint64_t i = 0; i < head->record_count; i++) {
        struct dlf_record r = distinct[i % PERIOD];
        uint32_t page = (uint32_t)(i / DLF_INDEX_PAGE_RECORDS);
        r.offset = i * CHUNK_BYTES;
        dlf_record_write(&r, index + dlf_index_page_offset(head, page) +
                                 i % DLF_INDEX_PAGE_RECORDS * DLF_RECORD_SIZE);
    }
    for (uint32_t page = 0; page < head->page_count; page++) {
        head->pages[page].first_offset = (uint64_t)page * DLF_INDEX_PAGE_RECORDS * CHUNK_BYTES;
        head->pages[page].sha256 =
            dlf_sha256(index + dlf_index_page_offset(head, page),
                       (size_t)dlf_index_page_records(head, page) * DLF_RECORD_SIZE);
    }
}

static void write_store(const char *store, const char *name, uint64_t gib)
{
    struct dlf_record *distinct = must_alloc(PERIOD * sizeof(*distinct));
    struct dlf_index_head head = {.image_size = gib << 30, .max_length = CHUNK_BYTES};
    struct dlf_manifest m = {.serial = 1, .created = CREATED, .image_size = gib << 30};
    char text[4096];
    char path[4096];

    head.record_count = head.image_size / CHUNK_BYTES;
    head.page_count =
        (uint32_t)((head.record_count + DLF_INDEX_PAGE_RECORDS - 1) / DLF_INDEX_PAGE_RECORDS);
    head.pack_count = PERIOD / PACK_CHUNKS;
    head.data_size = head.image_size;
    head.pages = must_alloc(head.page_count * sizeof(*head.pages));
    head.packs = must_alloc(head.pack_count * sizeof(*head.packs));
    make_dir(store, "pack");
    make_dir(store, "index");
    make_dir(store, "manifest");
    head.stored_size = write_packs(store, distinct, head.packs);

    m.index_head_size = dlf_index_head_size(head.page_count, head.pack_count);
    m.index_size = m.index_head_size + head.record_count * DLF_RECORD_SIZE;
    uint8_t *index = must_alloc(m.index_size);
    write_records(&head, distinct, index);
    dlf_index_head_write(&head, index);
    write_object(store, "index", index, m.index_size);
    m.index = dlf_sha256(index, m.index_size);
    m.index_head = dlf_sha256(index, m.index_head_size);
    snprintf(m.name, sizeof(m.name), "%s", name);
    int length = dlf_manifest_format(&m, text, sizeof(text));
    if (length < 0)
        stop("cannot write the manifest of", name);
    snprintf(path, sizeof(path), "%s/%s%s", store, name, DLF_MANIFEST_SUFFIX);
    write_file(path, text, (size_t)length);
    write_object(store, "manifest", text, (size_t)length);
    printf("%" PRIu64 " records, %u packs, head %u bytes, index %" PRIu64 " bytes\n",
           head.record_count, head.pack_count, m.index_head_size, m.index_size);
    free(index);
    free(distinct);
    dlf_index_head_free(&head);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--chunk") == 0) {
        static uint8_t content[CHUNK_BYTES];
        chunk_content((uint32_t)(strtoull(argv[2], NULL, 10) % PERIOD), content);
        return fwrite(content, 1, sizeof(content), stdout) == sizeof(content) ? 0 : 1;
    }
    uint64_t gib = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
    if (gib == 0 || gib > 1024 || !dlf_name_valid(argv[2])) {
        fprintf(stderr, "usage: big-store STORE NAME GIB | big-store --chunk N\n");
        return 2;
    }
    write_store(argv[1], argv[2], gib);
    return 0;
}
