/* dlfuse-chunker info: the size of an image, and the part that it shares with the store's other
 * images. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/command.h"
#include "chunker/json.h"
#include "chunker/log.h"
#include "chunker/pack_set.h"
#include "chunker/signer.h"
#include "chunker/stored_boot.h"
#include "chunker/stored_index.h"
#include "format/codec.h"

/* A stored chunk of the image. */
struct place {
    uint32_t pack;
    uint32_t pack_offset;
    uint32_t stored_length;
    uint32_t seen_in; /* the last other image (from 1 on) that has it; 0: none */
};

struct shared {
    uint64_t chunks;
    uint64_t stored_bytes;
};

struct info {
    struct dlf_manifest manifest;
    struct dlf_sha256 manifest_digest;
    struct stored_index index;
    struct stored_boot boot; /* its table is empty when the image has none */
    struct pack_set packs;
    const uint32_t *numbers; /* pack numbers in the set, for the index being read */
    struct place *places;    /* sorted, each once */
    size_t place_count;
    uint64_t codec_records[256];
    uint32_t current; /* the other image being read, from 1 on */
    struct shared *shared;
    struct store_list others;
    struct shared unique; /* in no other image */
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    if (x->pack != y->pack)
        return x->pack < y->pack ? -1 : 1;
    return x->pack_offset < y->pack_offset ? -1 : x->pack_offset > y->pack_offset;
}

static int add_place(void *context, uint64_t number, const struct dlf_record *record)
{
    struct info *info = context;
    (void)number;
    info->places[info->place_count++] = (struct place){.pack = info->numbers[record->pack],
                                                       .pack_offset = record->pack_offset,
                                                       .stored_length = record->stored_length};
    info->codec_records[record->codec]++;
    return 0;
}

static int mark_place(void *context, uint64_t number, const struct dlf_record *record)
{
    struct info *info = context;
    struct place key = {.pack = info->numbers[record->pack], .pack_offset = record->pack_offset};
    struct place *place = info->place_count ? bsearch(&key, info->places, info->place_count,
                                                      sizeof(key), compare_places)
                                            : NULL;
    (void)number;
    if (place && place->seen_in != info->current) {
        place->seen_in = info->current;
        info->shared[info->current - 1].chunks++;
        info->shared[info->current - 1].stored_bytes += place->stored_length;
    }
    return 0;
}

/* Visits all records of an index, its packs numbered by the set. */
static int visit_index(struct info *info, const struct stored_index *index,
                       stored_index_visit visit, struct dlf_err *err)
{
    uint32_t *numbers = calloc((size_t)index->head.pack_count + 1, sizeof(*numbers));
    bool ok = numbers != NULL;
    for (uint32_t i = 0; ok && i < index->head.pack_count; i++) {
        numbers[i] = pack_set_add(&info->packs, &index->head.packs[i]);
        ok = numbers[i] != PACK_NONE;
    }
    info->numbers = numbers;
    int rc = ok ? stored_index_each(index, visit, info, err)
                : dlf_fail(err, ENOMEM, "out of memory for %s", index->path);
    free(numbers);
    return rc;
}

static void sort_places(struct info *info)
{
    size_t kept = 0;
    if (info->place_count)
        qsort(info->places, info->place_count, sizeof(*info->places), compare_places);
    for (size_t i = 0; i < info->place_count; i++) {
        if (kept == 0 || compare_places(&info->places[kept - 1], &info->places[i]) != 0)
            info->places[kept++] = info->places[i];
    }
    info->place_count = kept;
}

/* Reads one other image; an unreadable one counts as sharing nothing. */
static void read_other(struct info *info, const struct store *store, const char *name)
{
    struct dlf_manifest manifest;
    struct stored_index index;
    struct dlf_err why;
    int rc = store_read_manifest(store, name, &manifest, NULL, &why);
    if (rc == 0)
        rc = stored_index_open(&index, store, &manifest, &why);
    if (rc == 0) {
        rc = visit_index(info, &index, mark_place, &why);
        stored_index_close(&index);
    }
    if (rc < 0)
        log_warning("%s", why.msg);
}

static int read_others(struct info *info, const struct store *store, struct dlf_err *err)
{
    int rc = store_images(store, &info->others, err);
    if (rc < 0)
        return rc;
    info->shared = calloc(info->others.count + 1, sizeof(*info->shared));
    if (!info->shared)
        return dlf_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < info->others.count; i++) {
        info->current = (uint32_t)i + 1;
        if (strcmp(info->others.names[i], info->manifest.name) != 0)
            read_other(info, store, info->others.names[i]);
    }
    for (size_t i = 0; i < info->place_count; i++) {
        if (info->places[i].seen_in == 0) {
            info->unique.chunks++;
            info->unique.stored_bytes += info->places[i].stored_length;
        }
    }
    return 0;
}

static int gather(struct info *info, const struct store *store, const char *name,
                  struct dlf_err *err)
{
    int rc = store_read_manifest(store, name, &info->manifest, &info->manifest_digest, err);
    if (rc == 0)
        rc = stored_index_open(&info->index, store, &info->manifest, err);
    if (rc == 0 && info->manifest.boot_size)
        rc = stored_boot_open(&info->boot, store, &info->manifest, err);
    if (rc < 0)
        return rc;
    info->places = calloc((size_t)info->index.head.record_count + 1, sizeof(*info->places));
    if (!info->places)
        return dlf_fail(err, ENOMEM, "out of memory for the chunks of %s", name);
    rc = visit_index(info, &info->index, add_place, err);
    if (rc < 0)
        return rc;
    sort_places(info);
    return read_others(info, store, err);
}

static void info_free(struct info *info)
{
    stored_index_close(&info->index);
    stored_boot_close(&info->boot);
    pack_set_free(&info->packs);
    store_list_free(&info->others);
    free(info->places);
    free(info->shared);
}

static uint64_t pack_bytes(const struct dlf_index_head *head)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < head->pack_count; i++)
        bytes += head->packs[i].size;
    return bytes;
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void created_text(const struct info *info, char text[32])
{
    time_t t = (time_t)info->manifest.created;
    struct tm tm;
    text[0] = 0;
    if (gmtime_r(&t, &tm))
        strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void print_json(const struct info *info)
{
    const struct dlf_index_head *head = &info->index.head;
    struct json json = {.out = stdout};
    char hex[DLF_SHA256_HEX + 1];
    char created[32];
    dlf_sha256_hex(&info->manifest_digest, hex);
    created_text(info, created);
    json_open(&json, NULL, '{');
    json_string(&json, "name", info->manifest.name);
    json_u64(&json, "serial", info->manifest.serial);
    json_string(&json, "created", created);
    json_string(&json, "manifest", hex);
    signer_ids_json(&info->manifest.signatures, &json);
    json_open(&json, "mirrors", '[');
    for (unsigned i = 0; i < info->manifest.mirror_count; i++)
        json_string(&json, NULL, info->manifest.mirrors[i]);
    json_close(&json, ']');
    json_u64(&json, "image_bytes", head->image_size);
    json_u64(&json, "data_bytes", head->data_size);
    json_u64(&json, "hole_bytes", head->image_size - head->data_size);
    json_u64(&json, "stored_bytes", head->stored_size);
    json_double(&json, "stored_ratio", ratio(head->stored_size, head->data_size));
    json_u64(&json, "chunks", head->record_count);
    json_u64(&json, "stored_chunks", info->place_count);
    json_u64(&json, "longest_chunk_bytes", head->max_length);
    json_u64(&json, "packs", head->pack_count);
    json_u64(&json, "pack_bytes", pack_bytes(head));
    json_u64(&json, "index_bytes", info->index.size_bytes);
    json_u64(&json, "index_head_bytes", info->manifest.index_head_size);
    json_u64(&json, "boot_bytes", info->manifest.boot_size);
    json_u64(&json, "boot_table_bytes", info->manifest.boot_table_size);
    json_u64(&json, "boot_data_bytes", info->boot.table.data_size);
    json_u64(&json, "boot_chunks", info->boot.table.record_count);
    json_u64(&json, "later_chunks", info->boot.table.later_count);
    json_open(&json, "codecs", '{');
    for (unsigned i = 0; i < 256; i++) {
        if (info->codec_records[i])
            json_u64(&json, dlf_codec_name((uint8_t)i), info->codec_records[i]);
    }
    json_close(&json, '}');
    json_open(&json, "unique", '{');
    json_u64(&json, "chunks", info->unique.chunks);
    json_u64(&json, "stored_bytes", info->unique.stored_bytes);
    json_close(&json, '}');
    json_open(&json, "shared", '[');
    for (size_t i = 0; i < info->others.count; i++) {
        if (strcmp(info->others.names[i], info->manifest.name) == 0)
            continue;
        json_open(&json, NULL, '{');
        json_string(&json, "name", info->others.names[i]);
        json_u64(&json, "chunks", info->shared[i].chunks);
        json_u64(&json, "stored_bytes", info->shared[i].stored_bytes);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}

static void print_text(const struct info *info)
{
    const struct dlf_index_head *head = &info->index.head;
    char hex[DLF_SHA256_HEX + 1];
    char created[32];
    char ids[SIGNER_IDS_MAX];
    dlf_sha256_hex(&info->manifest_digest, hex);
    created_text(info, created);
    signer_ids(&info->manifest.signatures, ids);
    printf("name      %s, serial %" PRIu64 ", %s\n", info->manifest.name, info->manifest.serial,
           created);
    printf("manifest  %s\n", hex);
    printf("signed    %s\n", ids[0] ? ids : "no");
    for (unsigned i = 0; i < info->manifest.mirror_count; i++)
        printf("mirror    %s\n", info->manifest.mirrors[i]);
    printf("image     %" PRIu64 " bytes, %" PRIu64 " of them data, %" PRIu64 " zeros\n",
           head->image_size, head->data_size, head->image_size - head->data_size);
    printf("stored    %" PRIu64 " bytes, %.1f%% of the data\n", head->stored_size,
           100 * ratio(head->stored_size, head->data_size));
    printf("chunks    %" PRIu64 ", average %.0f bytes, longest %u; %zu stored\n",
           head->record_count, ratio(head->data_size, head->record_count), head->max_length,
           info->place_count);
    for (unsigned i = 0; i < 256; i++) {
        if (info->codec_records[i])
            printf("          %" PRIu64 " %s\n", info->codec_records[i],
                   dlf_codec_name((uint8_t)i));
    }
    printf("packs     %u, %" PRIu64 " bytes\n", head->pack_count, pack_bytes(head));
    printf("index     %" PRIu64 " bytes, head %u\n", info->index.size_bytes,
           info->manifest.index_head_size);
    if (info->manifest.boot_size)
        printf("boot pack %" PRIu64 " bytes, table %u, index head %u: %u chunks of %" PRIu64
               " bytes, %.1f%% of the data; %u later\n",
               info->manifest.boot_size, info->manifest.boot_table_size, info->boot.table.head_size,
               info->boot.table.record_count, info->boot.table.data_size,
               100 * ratio(info->boot.table.data_size, head->data_size),
               info->boot.table.later_count);
    for (size_t i = 0; i < info->others.count; i++) {
        if (strcmp(info->others.names[i], info->manifest.name) != 0)
            printf("shared    with %s: %" PRIu64 " chunks, %" PRIu64 " stored bytes\n",
                   info->others.names[i], info->shared[i].chunks, info->shared[i].stored_bytes);
    }
    printf("unique    %" PRIu64 " chunks, %" PRIu64 " stored bytes\n", info->unique.chunks,
           info->unique.stored_bytes);
}

static int show(const char *store_path, const char *name, bool as_json)
{
    struct store store;
    struct dlf_err err;
    struct info info = {0};
    int rc = store_open(&store, store_path, false, &err);
    if (rc == 0) {
        rc = gather(&info, &store, name, &err);
        if (rc == 0 && as_json)
            print_json(&info);
        else if (rc == 0)
            print_text(&info);
        info_free(&info);
        store_close(&store);
    }
    if (rc < 0)
        log_error("%s", err.msg);
    return rc < 0 ? EXIT_FAILED : EXIT_OK;
}

int command_info(int argc, char **argv)
{
    static const struct option options[] = {{"store", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    const char *store_path = NULL;
    bool as_json = false;
    int option;
    while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
        if (option == 's')
            store_path = optarg;
        else if (option == 'j')
            as_json = true;
        else
            return command_bad_option(option, argv);
    }
    if (!store_path || argc - optind != 1)
        return command_usage("info needs --store DIR and NAME");
    if (!command_name_ok(argv[optind]))
        return EXIT_USAGE;
    return command_flush(show(store_path, argv[optind], as_json));
}
