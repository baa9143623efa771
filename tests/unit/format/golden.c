/* Makes the golden store from its rule, and reads its files. One thread, tests only. */
#include "golden.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/codec.h"

#define IMAGE_ROOM (1 << 20)
#define CONTENT_MAX 400
#define HOLE 4096

/* 2026-01-02T03:04:05Z */
#define CREATED UINT64_C(1767323045)

struct maker {
    struct golden *g;
    uint64_t random;
    uint64_t at; /* image offset of the next chunk */
    uint32_t pack_fill[GOLDEN_PACKS];
};

static void *must(void *p)
{
    if (!p) {
        fputs("golden store: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

/* Knuth's MMIX generator: the same bytes everywhere. */
static uint8_t random_byte(struct maker *m)
{
    m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint8_t)(m->random >> 56);
}

/* A literal, a match of offset 1, five literals. */
uint32_t golden_lz4_run(uint8_t *out, uint8_t byte, uint32_t length)
{
    uint8_t *p = out;
    uint32_t match = length - 1 - 5; /* at least 4 + 15 here */
    uint32_t rest = match - 4 - 15;
    *p++ = 1 << 4 | 15;
    *p++ = byte;
    *p++ = 1;
    *p++ = 0;
    for (; rest >= 255; rest -= 255)
        *p++ = 255;
    *p++ = (uint8_t)rest;
    *p++ = 5 << 4;
    memset(p, byte, 5);
    return (uint32_t)(p + 5 - out);
}

static void add_chunk(struct maker *m, unsigned i)
{
    struct golden *g = m->g;
    struct dlf_record *r = &g->records[i];
    uint8_t *content = g->image + m->at;
    r->offset = m->at;
    if (i % 10 == 9) {
        /* The same content as five chunks ago: the same stored chunk. */
        memcpy(content, g->image + g->records[i - 5].offset, g->records[i - 5].length);
        *r = g->records[i - 5];
        r->offset = m->at;
        return;
    }
    r->pack = i < GOLDEN_RECORDS / 2 ? 0 : 1;
    r->pack_offset = m->pack_fill[r->pack];
    uint8_t *stored = g->packs[r->pack] + r->pack_offset;
    if (i % 4 == 0) {
        r->length = 64 + i % 300;
        r->codec = DLF_CODEC_LZ4;
        memset(content, (int)(1 + i % 255), r->length);
        r->stored_length = golden_lz4_run(stored, (uint8_t)(1 + i % 255), r->length);
    } else {
        r->length = 1 + i % 97;
        r->codec = DLF_CODEC_RAW;
        for (uint32_t n = 0; n < r->length; n++)
            content[n] = random_byte(m);
        memcpy(stored, content, r->length);
        r->stored_length = r->length;
    }
    r->xxh3 = dlf_xxh3(content, r->length);
    r->sha256 = dlf_sha256(stored, r->stored_length);
    m->pack_fill[r->pack] += r->stored_length;
    g->head.stored_size += r->stored_length;
}

static void make_chunks(struct maker *m)
{
    struct golden *g = m->g;
    /* The image begins and ends with a hole, and has one before each 50th chunk. */
    m->at = HOLE;
    for (unsigned i = 0; i < GOLDEN_RECORDS; i++) {
        if (i % 50 == 49)
            m->at += HOLE;
        add_chunk(m, i);
        m->at += g->records[i].length;
        g->head.data_size += g->records[i].length;
        if (g->records[i].length > g->head.max_length)
            g->head.max_length = g->records[i].length;
    }
    g->image_size = m->at + HOLE;
}

static void make_index(struct maker *m)
{
    struct golden *g = m->g;
    struct dlf_index_head *h = &g->head;
    h->image_size = g->image_size;
    h->record_count = GOLDEN_RECORDS;
    h->page_count = GOLDEN_PAGES;
    h->pack_count = GOLDEN_PACKS;
    h->pages = g->head_pages;
    h->packs = g->head_packs;
    g->head_size = dlf_index_head_size(GOLDEN_PAGES, GOLDEN_PACKS);
    g->index_size = g->head_size + (uint64_t)GOLDEN_RECORDS * DLF_RECORD_SIZE;
    g->index = must(calloc(1, g->index_size));
    for (unsigned i = 0; i < GOLDEN_RECORDS; i++)
        dlf_record_write(&g->records[i], g->index + g->head_size + (size_t)i * DLF_RECORD_SIZE);
    for (uint32_t i = 0; i < GOLDEN_PAGES; i++) {
        h->pages[i].first_offset = g->records[(size_t)i * DLF_INDEX_PAGE_RECORDS].offset;
        h->pages[i].sha256 = dlf_sha256(g->index + dlf_index_page_offset(h, i),
                                        (size_t)dlf_index_page_records(h, i) * DLF_RECORD_SIZE);
    }
    for (uint32_t i = 0; i < GOLDEN_PACKS; i++) {
        h->packs[i].size = m->pack_fill[i];
        h->packs[i].sha256 = dlf_sha256(g->packs[i], m->pack_fill[i]);
    }
    dlf_index_head_write(h, g->index);
}

static void make_manifest(struct golden *g)
{
    struct dlf_manifest *m = &g->manifest;
    memcpy(m->name, "golden", sizeof("golden"));
    m->serial = 7;
    m->created = CREATED;
    m->image_size = g->image_size;
    m->index = dlf_sha256(g->index, g->index_size);
    m->index_size = g->index_size;
    m->index_head = dlf_sha256(g->index, g->head_size);
    m->index_head_size = g->head_size;
    int n = dlf_manifest_format(m, g->manifest_text, sizeof(g->manifest_text));
    g->manifest_size = n < 0 ? 0 : (size_t)n;
}

struct golden *golden_make(void)
{
    struct golden *g = must(calloc(1, sizeof(*g)));
    struct maker m = {.g = g, .random = 1};
    g->image = must(calloc(1, IMAGE_ROOM));
    for (int i = 0; i < GOLDEN_PACKS; i++)
        g->packs[i] = must(calloc(1, GOLDEN_PACK_MAX));
    make_chunks(&m);
    make_index(&m);
    make_manifest(g);
    return g;
}

void golden_free(struct golden *g)
{
    free(g->image);
    free(g->index);
    for (int i = 0; i < GOLDEN_PACKS; i++)
        free(g->packs[i]);
    free(g);
}

uint8_t *golden_read(const char *path, size_t *size)
{
    char full[4096];
    snprintf(full, sizeof(full), "%s/%s", DLFUSE_GOLDEN_DIR, path);
    FILE *f = fopen(full, "rbe");
    if (!f)
        return NULL;
    uint8_t *data = must(malloc(IMAGE_ROOM));
    *size = fread(data, 1, IMAGE_ROOM, f);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed) {
        free(data);
        return NULL;
    }
    return data;
}

int golden_write(const char *path, const void *data, size_t size)
{
    char full[4096];
    snprintf(full, sizeof(full), "%s/%s", DLFUSE_GOLDEN_DIR, path);
    char *slash = strrchr(full, '/');
    *slash = 0;
    if (mkdir(full, 0777) < 0 && errno != EEXIST)
        return -1;
    *slash = '/';
    FILE *f = fopen(full, "wbe");
    if (!f)
        return -1;
    bool failed = fwrite(data, 1, size, f) != size;
    failed = fclose(f) != 0 || failed;
    return failed ? -1 : 0;
}
