/* Reads and writes the manifest text. Owns nothing; pure, any thread. */
#include "format/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "format/boot.h"
#include "format/index.h"
#include "format/text.h"

/* The longest line of version 1 is "index-head", a digest and a size. */
#define LINE_MAX_BYTES 256

#define BODY_MAX_BYTES ((9 + DLF_MIRROR_LINES_MAX) * LINE_MAX_BYTES)

#define MIRROR_KEY "mirror"

/* 9999-12-31T23:59:59Z, the last second that the text form can say. */
#define CREATED_MAX INT64_C(253402300799)

struct reader {
    const char *text;
    size_t left;
    unsigned line;
    struct dlf_err *err;
};

bool dlf_name_valid(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789._-";
    size_t length = strnlen(name, DLF_NAME_MAX + 1);
    return length >= 1 && length <= DLF_NAME_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, allowed) == length;
}

bool dlf_mirror_valid(const char *url)
{
    size_t length = strnlen(url, DLF_MIRROR_URL_MAX + 1);
    const char *host = strncmp(url, "https://", 8) == 0  ? url + 8
                       : strncmp(url, "http://", 7) == 0 ? url + 7
                                                         : NULL;
    if (!host || length > DLF_MIRROR_URL_MAX || url[length - 1] != '/')
        return false;
    size_t host_length = strcspn(host, "/");
    if (host_length == 0 || *host == ':' || memchr(host, '@', host_length))
        return false;
    for (size_t i = 0; i < length; i++)
        if (url[i] <= ' ' || url[i] > '~' || strchr("?#\\\"<>", url[i]))
            return false;
    return true;
}

bool dlf_manifest_same_mirrors(const struct dlf_manifest *a, const struct dlf_manifest *b)
{
    if (a->mirror_count != b->mirror_count)
        return false;
    for (unsigned i = 0; i < a->mirror_count; i++)
        if (strcmp(a->mirrors[i], b->mirrors[i]) != 0)
            return false;
    return true;
}

/* Quotes the first line of a text that is not a manifest: printable, short. */
static int not_a_manifest(struct reader *in, const char *text, size_t size)
{
    char seen[33];
    size_t n = 0;
    if (size == 0)
        return dlf_fail(in->err, EBADMSG, "not a dlfuse manifest: it is empty");
    while (n < sizeof(seen) - 1 && n < size && text[n] != '\n') {
        seen[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
        n++;
    }
    seen[n] = 0;
    return dlf_fail(in->err, EBADMSG, "not a dlfuse manifest: it begins with \"%s\"", seen);
}

/*
 * The value of the next line, which must be "KEY VALUE\n". For any other line NULL, with the reason
 * in err (-EBADMSG). line has LINE_MAX_BYTES of room and holds the value.
 */
static char *next_value(struct reader *in, const char *key, char *line)
{
    const char *end = memchr(in->text, '\n', in->left);
    size_t length = end ? (size_t)(end - in->text) : in->left;
    size_t key_length = strlen(key);

    in->line++;
    if (!end) {
        dlf_fail(in->err, EBADMSG, "line %u: the manifest ends before \"%s\" is complete", in->line,
                 key);
        return NULL;
    }
    if (length > key_length && length < LINE_MAX_BYTES && !memchr(in->text, 0, length) &&
        memcmp(in->text, key, key_length) == 0 && in->text[key_length] == ' ') {
        memcpy(line, in->text, length);
        line[length] = 0;
        in->text = end + 1;
        in->left -= length + 1;
        return line + key_length + 1;
    }
    dlf_fail(in->err, EBADMSG, "line %u: \"%s\" expected, found something else", in->line, key);
    return NULL;
}

static int next_number(struct reader *in, const char *key, uint64_t max, uint64_t *number)
{
    char line[LINE_MAX_BYTES];
    const char *end;
    char *value = next_value(in, key, line);
    if (!value)
        return -EBADMSG;
    if (!dlf_text_number(value, UINT64_MAX, number, &end) || *end)
        return dlf_fail(in->err, EBADMSG, "line %u: %s is not a number", in->line, key);
    if (*number > max)
        return dlf_fail(in->err, EFBIG, "line %u: %s %" PRIu64 " is over the limit of %" PRIu64,
                        in->line, key, *number, max);
    return 0;
}

/* "SHA256 SIZE" */
static int next_object(struct reader *in, const char *key, uint64_t max, struct dlf_sha256 *digest,
                       uint64_t *size)
{
    char line[LINE_MAX_BYTES];
    const char *end;
    char *value = next_value(in, key, line);
    if (!value)
        return -EBADMSG;
    char *space = strchr(value, ' ');
    if (space)
        *space = 0;
    if (!space || !dlf_sha256_parse(digest, value))
        return dlf_fail(in->err, EBADMSG, "line %u: %s is not a SHA-256 and a size", in->line, key);
    if (!dlf_text_number(space + 1, UINT64_MAX, size, &end) || *end)
        return dlf_fail(in->err, EBADMSG, "line %u: the size of %s is not a number", in->line, key);
    if (*size > max)
        return dlf_fail(in->err, EFBIG, "line %u: %s has %" PRIu64 " bytes, the limit is %" PRIu64,
                        in->line, key, *size, max);
    return 0;
}

/* "2026-01-31T23:59:59Z" and nothing else: printed again it must give the same text. */
static bool read_time(const char *text, uint64_t *seconds)
{
    struct tm tm = {0};
    struct tm again;
    char printed[32];
    if (!strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm))
        return false;
    time_t t = timegm(&tm);
    if (t < 0 || !gmtime_r(&t, &again) ||
        strftime(printed, sizeof(printed), "%Y-%m-%dT%H:%M:%SZ", &again) == 0 ||
        strcmp(printed, text) != 0)
        return false;
    *seconds = (uint64_t)t;
    return true;
}

static int read_first_line(struct reader *in, const char *text, size_t size)
{
    char line[LINE_MAX_BYTES];
    static const char magic[] = "dlfuse-manifest ";
    if (size < sizeof(magic) - 1 || memcmp(text, magic, sizeof(magic) - 1) != 0)
        return not_a_manifest(in, text, size);
    const char *value = next_value(in, "dlfuse-manifest", line);
    if (!value)
        return -EBADMSG;
    if (strcmp(value, "1") != 0)
        return dlf_fail(in->err, ENOTSUP,
                        "manifest version \"%.16s\" is not known to this build, which reads 1",
                        value);
    return 0;
}

static int read_name_and_time(struct reader *in, struct dlf_manifest *m)
{
    char line[LINE_MAX_BYTES];
    const char *value = next_value(in, "name", line);
    if (!value)
        return -EBADMSG;
    if (!dlf_name_valid(value))
        return dlf_fail(in->err, EBADMSG, "line %u: invalid name", in->line);
    memcpy(m->name, value, strlen(value) + 1);
    int rc = next_number(in, "serial", UINT64_MAX, &m->serial);
    if (rc < 0)
        return rc;
    if (m->serial == 0)
        return dlf_fail(in->err, EBADMSG, "line %u: serial 0, but serials begin at 1", in->line);
    value = next_value(in, "created", line);
    if (!value)
        return -EBADMSG;
    if (!read_time(value, &m->created))
        return dlf_fail(in->err, EBADMSG, "line %u: created is not a UTC time", in->line);
    return 0;
}

/* Reads the boot pack's two lines; there are none when the text ends or another line follows. */
static int read_boot(struct reader *in, struct dlf_manifest *m)
{
    static const char key[] = "boot ";
    uint64_t table_size = 0;
    if (in->left < sizeof(key) - 1 || memcmp(in->text, key, sizeof(key) - 1) != 0)
        return 0;
    int rc = next_object(in, "boot", DLF_BOOT_MAX, &m->boot, &m->boot_size);
    if (rc == 0)
        rc = next_object(in, "boot-table", DLF_BOOT_TABLE_MAX, &m->boot_table, &table_size);
    if (rc < 0)
        return rc;
    if (table_size < DLF_BOOT_FIXED_SIZE || table_size > m->boot_size)
        return dlf_fail(in->err, EBADMSG,
                        "line %u: a table of %" PRIu64 " bytes in a boot pack of %" PRIu64
                        " cannot be",
                        in->line, table_size, m->boot_size);
    m->boot_table_size = (uint32_t)table_size;
    return 0;
}

static bool follows(const struct reader *in, const char *key)
{
    size_t length = strlen(key);
    return in->left > length && memcmp(in->text, key, length) == 0 && in->text[length] == ' ';
}

/* Reads mirror lines, up to the limit. */
static int read_mirrors(struct reader *in, struct dlf_manifest *m)
{
    while (follows(in, MIRROR_KEY)) {
        char line[LINE_MAX_BYTES];
        const char *value = next_value(in, MIRROR_KEY, line);
        if (!value)
            return -EBADMSG;
        if (m->mirror_count == DLF_MIRROR_LINES_MAX)
            return dlf_fail(in->err, EFBIG, "line %u: more than %d mirrors", in->line,
                            DLF_MIRROR_LINES_MAX);
        if (!dlf_mirror_valid(value))
            return dlf_fail(in->err, EBADMSG, "line %u: mirror is not the URL of a store",
                            in->line);
        memcpy(m->mirrors[m->mirror_count++], value, strlen(value) + 1);
    }
    return 0;
}

/* The key of the last line that was read. */
static const char *last_key(const struct dlf_manifest *m)
{
    if (m->mirror_count)
        return MIRROR_KEY;
    return m->boot_size ? "boot-table" : "index-head";
}

/* Only signatures may follow. A reader with keys verifies them. */
static int read_signatures(struct reader *in, struct dlf_manifest *m, const char *text, size_t size)
{
    int rc = dlf_signatures_read(&m->signatures, text, size, in->err);
    if (rc == 0 && m->signatures.body_size != size - in->left)
        return dlf_fail(in->err, EBADMSG, "line %u: unknown line after \"%s\"", in->line + 1,
                        last_key(m));
    return rc;
}

int dlf_manifest_parse(struct dlf_manifest *manifest, const char *text, size_t size,
                       struct dlf_err *err)
{
    struct dlf_manifest m = {0};
    struct reader in = {.text = text, .left = size, .err = err};
    uint64_t head_size = 0;
    int rc;

    if (size > DLF_MANIFEST_MAX)
        return dlf_fail(err, EFBIG, "a manifest has at most %zu bytes, this has more",
                        DLF_MANIFEST_MAX);
    rc = read_first_line(&in, text, size);
    if (rc == 0)
        rc = read_name_and_time(&in, &m);
    if (rc == 0)
        rc = next_number(&in, "image-size", DLF_IMAGE_MAX, &m.image_size);
    if (rc == 0)
        rc = next_object(&in, "index", DLF_INDEX_MAX, &m.index, &m.index_size);
    if (rc == 0)
        rc = next_object(&in, "index-head", DLF_INDEX_HEAD_MAX, &m.index_head, &head_size);
    if (rc < 0)
        return rc;
    if (head_size < DLF_INDEX_FIXED_SIZE || head_size > m.index_size)
        return dlf_fail(err, EBADMSG, "line %u: an index head of %" PRIu64 " bytes cannot be",
                        in.line, head_size);
    m.index_head_size = (uint32_t)head_size;
    rc = read_boot(&in, &m);
    if (rc == 0)
        rc = read_mirrors(&in, &m);
    if (rc == 0)
        rc = read_signatures(&in, &m, text, size);
    if (rc == 0)
        *manifest = m;
    return rc;
}

static int format_boot(const struct dlf_manifest *m, char *out, size_t room)
{
    char boot[DLF_SHA256_HEX + 1];
    char table[DLF_SHA256_HEX + 1];
    dlf_sha256_hex(&m->boot, boot);
    dlf_sha256_hex(&m->boot_table, table);
    int n = snprintf(out, room,
                     "boot %s %" PRIu64 "\n"
                     "boot-table %s %" PRIu32 "\n",
                     boot, m->boot_size, table, m->boot_table_size);
    return n < 0 || (size_t)n >= room ? -EINVAL : n;
}

static int format_mirrors(const struct dlf_manifest *m, char *out, size_t room)
{
    size_t at = 0;
    for (unsigned i = 0; i < m->mirror_count; i++) {
        int n = snprintf(out + at, room - at, MIRROR_KEY " %s\n", m->mirrors[i]);
        if (n < 0 || (size_t)n >= room - at)
            return -EINVAL;
        at += (size_t)n;
    }
    return (int)at;
}

static int format_body(const struct dlf_manifest *m, char *out, size_t room)
{
    char index[DLF_SHA256_HEX + 1];
    char head[DLF_SHA256_HEX + 1];
    char created[32];
    struct tm tm;
    time_t t = (time_t)m->created;

    if (m->created > CREATED_MAX || !gmtime_r(&t, &tm) ||
        strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return -EINVAL;
    dlf_sha256_hex(&m->index, index);
    dlf_sha256_hex(&m->index_head, head);
    int n = snprintf(out, room,
                     "dlfuse-manifest %d\n"
                     "name %s\n"
                     "serial %" PRIu64 "\n"
                     "created %s\n"
                     "image-size %" PRIu64 "\n"
                     "index %s %" PRIu64 "\n"
                     "index-head %s %" PRIu32 "\n",
                     DLF_MANIFEST_VERSION, m->name, m->serial, created, m->image_size, index,
                     m->index_size, head, m->index_head_size);
    if (n < 0 || (size_t)n >= room)
        return -EINVAL;
    int more = m->boot_size ? format_boot(m, out + n, room - (size_t)n) : 0;
    if (more < 0)
        return more;
    n += more;
    more = format_mirrors(m, out + n, room - (size_t)n);
    return more < 0 ? more : n + more;
}

int dlf_manifest_format(const struct dlf_manifest *m, char *out, size_t room)
{
    int n = format_body(m, out, room);
    if (n < 0)
        return n;
    int more = dlf_signatures_write(&m->signatures, out + n, room - (size_t)n);
    return more < 0 ? more : n + more;
}

int dlf_manifest_sign(struct dlf_manifest *m, const struct dlf_secret_key *key, struct dlf_err *err)
{
    char body[BODY_MAX_BYTES];
    int n = format_body(m, body, sizeof(body));
    if (n < 0)
        return dlf_fail(err, -n, "cannot write the manifest of %s", m->name);
    m->signatures.body_size = (size_t)n;
    return dlf_signatures_add(&m->signatures, key, DLF_SIGNS_MANIFEST, body, err);
}

void dlf_object_path(char out[DLF_OBJECT_PATH_MAX], const char *kind,
                     const struct dlf_sha256 *digest)
{
    char hex[DLF_SHA256_HEX + 1];
    dlf_sha256_hex(digest, hex);
    snprintf(out, DLF_OBJECT_PATH_MAX, "%s/%s", kind, hex);
}
