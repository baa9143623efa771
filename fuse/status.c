/* Prints an image's counters, as one JSON object or as metrics. The keys are documented in
 * dlfuse(1).
 */
#include "fuse/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/harden.h"

/* A URL or name as a JSON string: the few characters that would end or break it are escaped. */
static void put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < ' ')
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void put_number(FILE *out, const char *key, uint64_t value)
{
    fprintf(out, "  \"%s\": %" PRIu64 ",\n", key, value);
}

static const char *boolean(bool value)
{
    return value ? "true" : "false";
}

static void put_hardening(FILE *out)
{
    struct dlf_hardening now;
    const char *comma = "";
    dlf_harden_look(&now);
    fputs("  \"capabilities\": [", out);
    for (unsigned number = 0; number < 64; number++) {
        char name[24];
        if (!(now.capabilities & DLF_CAPABILITY(number)))
            continue;
        dlf_harden_capability_name(number, name);
        fprintf(out, "%s\"%s\"", comma, name);
        comma = ", ";
    }
    fprintf(out, "],\n  \"no_new_privs\": %s,\n  \"seccomp\": %s,\n", boolean(now.no_new_privs),
            boolean(now.filter));
}

static void put_mirrors(FILE *out, const struct dlf_source *source)
{
    uint32_t all = dlf_source_all(source);
    fputs("  \"mirrors\": [", out);
    for (unsigned i = 0; all >> i & 1; i++) {
        struct dlf_mirror_stats m;
        dlf_source_mirror_stats(source, i, &m);
        fputs(i ? ",\n    {\"url\": " : "\n    {\"url\": ", out);
        put_string(out, m.base);
        fprintf(out,
                ", \"state\": \"%s\", \"down_ms\": %" PRIu64 ", \"latency_us\": %" PRIu64
                ", \"requests\": %" PRIu64 ", \"failures\": %" PRIu64 ", \"failovers\": %" PRIu64
                ", \"recoveries\": %" PRIu64 ", \"retry_after\": %" PRIu64 ", \"bytes\": %" PRIu64
                "}",
                m.down ? "down" : "up", m.down_ms, m.latency_us, m.requests, m.failures,
                m.failovers, m.recoveries, m.told_waits, m.bytes);
    }
    fputs("\n  ]\n", out);
}

/* A number that both texts have. A counter only grows; a gauge is how much there is now. */
struct number {
    const char *key;
    bool counter;
    uint64_t value;
};
#define NUMBERS 32

static void count_numbers(struct number numbers[NUMBERS], const struct dlf_index_head *head,
                          const struct dlf_image_stats *s)
{
    const struct number now[NUMBERS] = {
        {"image_bytes", false, head->image_size},
        {"data_bytes", false, head->data_size},
        {"stored_bytes", false, head->stored_size},
        {"chunks", false, head->record_count},
        {"chunks_present", false, s->cache.present_chunks},
        {"present_bytes", false, s->cache.present_bytes},
        {"cache_limit_bytes", false, s->cache.limit_bytes},
        {"evicted_chunks", true, s->cache.evicted_chunks},
        {"broken_chunks", true, s->cache.broken_chunks},
        {"reads", true, s->reads},
        {"read_bytes", true, s->read_bytes},
        {"read_hits", true, s->read_hits},
        {"read_waits", true, s->read_waits},
        {"waiting_reads", false, s->waiting_reads},
        {"wait_ms_total", true, s->wait_ms_total},
        {"wait_ms_max", false, s->wait_ms_max},
        {"requests", true, s->sched.requests},
        {"fetched_bytes", true, s->sched.fetched_bytes},
        {"demand_bytes", true, s->sched.class_bytes[DLF_DEMAND]},
        {"prefetch_bytes", true, s->sched.class_bytes[DLF_PREFETCH]},
        {"fill_bytes", true, s->sched.class_bytes[DLF_FILL]},
        {"index_bytes", true, s->sched.index_bytes},
        {"boot_bytes", true, s->sched.boot_bytes},
        {"overtaken_chunks", true, s->sched.overtaken},
        {"hedged_requests", true, s->sched.hedged},
        {"hedges_won", true, s->sched.hedges_won},
        {"round_trip_us", false, s->sched.pace.rtt_us},
        {"bandwidth_bytes_per_s", false, s->sched.pace.bytes_per_s},
        {"connections", false, s->sched.connections},
        {"failed_attempts", true, s->sched.failed_attempts},
        {"bad_digests", true, s->sched.bad_digests},
        {"recovered", true, s->sched.recovered},
    };
    memcpy(numbers, now, sizeof(now));
}

/* The manifest, and the key that vouches for it. */
static void put_manifest(FILE *out, const struct dlf_manifest *m, const struct dlf_trust_seen *seen)
{
    char digest[DLF_SHA256_HEX + 1];
    dlf_sha256_hex(&seen->digest, digest);
    fputs("  \"name\": ", out);
    put_string(out, m->name);
    fputs(",\n", out);
    put_number(out, "serial", m->serial);
    fprintf(out, "  \"manifest\": \"%s\",\n", digest);
    put_number(out, "signatures", seen->signatures);
    if (seen->signed_by[0])
        fprintf(out, "  \"signed_by\": \"%s\",\n  \"authenticity\": \"signed by %s\",\n",
                seen->signed_by, seen->signed_by);
    else
        fprintf(out, "  \"signed_by\": null,\n  \"authenticity\": \"%s, no keys given\",\n",
                seen->signatures ? "signed, not checked" : "not signed");
}

static const char *const boot_states[] = {
    [DLF_BOOT_NONE] = "none",
    [DLF_BOOT_STREAMING] = "streaming",
    [DLF_BOOT_DONE] = "done",
    [DLF_BOOT_FAILED] = "failed",
};

static const char *state_of(const struct dlf_image_stats *s)
{
    return s->complete ? "detached" : s->filling ? "filling" : "lazy";
}

/* Ends a text that was written to memory; NULL when it did not fit there. */
static char *close_text(FILE *out, char **text)
{
    if (fclose(out) == 0)
        return *text;
    free(*text);
    return NULL;
}

char *dlf_status_json(struct dlf_image *image, const char *url, const char *handover)
{
    struct dlf_image_stats s;
    struct number numbers[NUMBERS];
    char *text = NULL;
    size_t size = 0;
    char shown[DLF_URL_MAX];
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    dlf_image_stats(image, &s);
    fputs("{\n  \"version\": \"" DLFUSE_VERSION "\",\n  \"url\": ", out);
    dlf_url_shown(shown, sizeof(shown), url);
    put_string(out, shown);
    fputs(",\n", out);
    put_manifest(out, dlf_image_manifest(image), dlf_image_trust(image));
    fprintf(out, "  \"state\": \"%s\",\n", state_of(&s));
    fprintf(out, "  \"complete\": %s,\n", boolean(s.complete));
    fprintf(out, "  \"detached\": %s,\n", boolean(s.complete));
    fprintf(out, "  \"handover\": \"%s\",\n", handover);
    fprintf(out, "  \"boot\": \"%s\",\n", boot_states[s.boot]);
    fprintf(out, "  \"ready\": %s,\n", boolean(s.ready));
    count_numbers(numbers, dlf_image_head(image), &s);
    for (size_t i = 0; i < NUMBERS; i++)
        put_number(out, numbers[i].key, numbers[i].value);
    put_hardening(out);
    put_mirrors(out, dlf_image_source(image));
    fputs("}\n", out);
    return close_text(out, &text);
}

/* "# TYPE", and the name up to where labels or a value follow. */
static void put_metric(FILE *out, const char *key, bool counter)
{
    size_t length = strlen(key);
    bool named = length > 6 && strcmp(key + length - 6, "_total") == 0;
    const char *end = counter && !named ? "_total" : "";
    fprintf(out, "# TYPE dlfuse_%s%s %s\ndlfuse_%s%s", key, end, counter ? "counter" : "gauge", key,
            end);
}

static void put_info(FILE *out, struct dlf_image *image, const struct dlf_image_stats *s,
                     const char *handover)
{
    const struct dlf_manifest *m = dlf_image_manifest(image);
    char digest[DLF_SHA256_HEX + 1];
    dlf_sha256_hex(&dlf_image_trust(image)->digest, digest);
    put_metric(out, "info", false);
    fputs("{version=\"" DLFUSE_VERSION "\",name=", out);
    put_string(out, m->name);
    fprintf(out,
            ",serial=\"%" PRIu64 "\",manifest=\"%s\",state=\"%s\",handover=\"%s\",boot=\"%s\"} 1\n",
            m->serial, digest, state_of(s), handover, boot_states[s->boot]);
}

/* One metric of all mirrors: its lines must stand together. */
static void put_mirror_metric(FILE *out, const struct dlf_source *source, const char *key,
                              bool counter, uint64_t (*value)(const struct dlf_mirror_stats *))
{
    uint32_t all = dlf_source_all(source);
    char name[64];
    snprintf(name, sizeof(name), "mirror_%s%s", key, counter ? "_total" : "");
    fprintf(out, "# TYPE dlfuse_%s %s\n", name, counter ? "counter" : "gauge");
    for (unsigned i = 0; all >> i & 1; i++) {
        struct dlf_mirror_stats m;
        dlf_source_mirror_stats(source, i, &m);
        fprintf(out, "dlfuse_%s{url=", name);
        put_string(out, m.base);
        fprintf(out, "} %" PRIu64 "\n", value(&m));
    }
}

static uint64_t mirror_up(const struct dlf_mirror_stats *m)
{
    return !m->down;
}

static uint64_t mirror_requests(const struct dlf_mirror_stats *m)
{
    return m->requests;
}

static uint64_t mirror_failures(const struct dlf_mirror_stats *m)
{
    return m->failures;
}

static uint64_t mirror_bytes(const struct dlf_mirror_stats *m)
{
    return m->bytes;
}

char *dlf_status_metrics(struct dlf_image *image, const char *handover)
{
    struct dlf_image_stats s;
    struct number numbers[NUMBERS];
    const struct dlf_source *source = dlf_image_source(image);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    dlf_image_stats(image, &s);
    put_info(out, image, &s, handover);
    put_metric(out, "complete", false);
    fprintf(out, " %d\n", s.complete);
    put_metric(out, "ready", false);
    fprintf(out, " %d\n", s.ready);
    count_numbers(numbers, dlf_image_head(image), &s);
    for (size_t i = 0; i < NUMBERS; i++) {
        put_metric(out, numbers[i].key, numbers[i].counter);
        fprintf(out, " %" PRIu64 "\n", numbers[i].value);
    }
    put_mirror_metric(out, source, "up", false, mirror_up);
    put_mirror_metric(out, source, "requests", true, mirror_requests);
    put_mirror_metric(out, source, "failures", true, mirror_failures);
    put_mirror_metric(out, source, "bytes", true, mirror_bytes);
    return close_text(out, &text);
}
