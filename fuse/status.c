/* Prints an image's counters as one JSON object. The keys are documented in dlfuse(8). */
#include "fuse/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

static void put_numbers(FILE *out, const struct dlf_index_head *head,
                        const struct dlf_image_stats *s)
{
    put_number(out, "image_bytes", head->image_size);
    put_number(out, "data_bytes", head->data_size);
    put_number(out, "stored_bytes", head->stored_size);
    put_number(out, "chunks", head->record_count);
    put_number(out, "chunks_present", s->cache.present_chunks);
    put_number(out, "present_bytes", s->cache.present_bytes);
    put_number(out, "cache_limit_bytes", s->cache.limit_bytes);
    put_number(out, "evicted_chunks", s->cache.evicted_chunks);
    put_number(out, "broken_chunks", s->cache.broken_chunks);
    put_number(out, "reads", s->reads);
    put_number(out, "read_bytes", s->read_bytes);
    put_number(out, "read_hits", s->read_hits);
    put_number(out, "read_waits", s->read_waits);
    put_number(out, "wait_ms_total", s->wait_ms_total);
    put_number(out, "wait_ms_max", s->wait_ms_max);
    put_number(out, "requests", s->sched.requests);
    put_number(out, "fetched_bytes", s->sched.fetched_bytes);
    put_number(out, "demand_bytes", s->sched.class_bytes[DLF_DEMAND]);
    put_number(out, "prefetch_bytes", s->sched.class_bytes[DLF_PREFETCH]);
    put_number(out, "fill_bytes", s->sched.class_bytes[DLF_FILL]);
    put_number(out, "index_bytes", s->sched.index_bytes);
    put_number(out, "boot_bytes", s->sched.boot_bytes);
    put_number(out, "overtaken_chunks", s->sched.overtaken);
    put_number(out, "round_trip_us", s->sched.pace.rtt_us);
    put_number(out, "bandwidth_bytes_per_s", s->sched.pace.bytes_per_s);
    put_number(out, "connections", s->sched.connections);
    put_number(out, "failed_attempts", s->sched.failed_attempts);
    put_number(out, "bad_digests", s->sched.bad_digests);
    put_number(out, "recovered", s->sched.recovered);
}

/* What the manifest is, and who vouches for it. */
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

char *dlf_status_json(struct dlf_image *image, const char *url, const char *handover)
{
    struct dlf_image_stats s;
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
    fprintf(out, "  \"state\": \"%s\",\n",
            s.complete  ? "detached"
            : s.filling ? "filling"
                        : "lazy");
    fprintf(out, "  \"complete\": %s,\n", boolean(s.complete));
    fprintf(out, "  \"detached\": %s,\n", boolean(s.complete));
    fprintf(out, "  \"handover\": \"%s\",\n", handover);
    fprintf(out, "  \"boot\": \"%s\",\n", boot_states[s.boot]);
    fprintf(out, "  \"ready\": %s,\n", boolean(s.ready));
    put_numbers(out, dlf_image_head(image), &s);
    put_hardening(out);
    put_mirrors(out, dlf_image_source(image));
    fputs("}\n", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
