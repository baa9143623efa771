/* Reads lines of checksums. */
#include "format/sums.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Characters before a name: digest, blank, and blank or asterisk. */
#define NAME_AT (DLF_SHA256_HEX + 2)

/* One line, without its end. False when it has another form. */
static bool read_line(const char *line, size_t length, struct dlf_sha256 *digest)
{
    char hex[DLF_SHA256_HEX + 1];
    if (length <= NAME_AT || memchr(line, 0, length) || memchr(line, '\r', length))
        return false;
    memcpy(hex, line, DLF_SHA256_HEX);
    hex[DLF_SHA256_HEX] = 0;
    return dlf_sha256_parse(digest, hex) && line[DLF_SHA256_HEX] == ' ' &&
           (line[DLF_SHA256_HEX + 1] == ' ' || line[DLF_SHA256_HEX + 1] == '*');
}

int dlf_sums_find(const char *text, size_t size, const char *name, struct dlf_sha256 *digest,
                  struct dlf_err *err)
{
    struct dlf_sha256 found;
    bool is_there = false;
    unsigned number = 1;
    for (; size; number++) {
        struct dlf_sha256 this;
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        if (!end || !read_line(text, length, &this))
            return dlf_fail(err, EBADMSG, "line %u is not SHA256, two blanks and a name", number);
        if (length - NAME_AT == strlen(name) && memcmp(text + NAME_AT, name, strlen(name)) == 0) {
            if (is_there)
                return dlf_fail(err, EBADMSG, "line %u: a second line for %s", number, name);
            is_there = true;
            found = this;
        }
        text += length + 1;
        size -= length + 1;
    }
    if (!is_there)
        return dlf_fail(err, ENOENT, "it has no line for %s", name);
    *digest = found;
    return 0;
}
