/* Reads the one line that is about hosts. Loaded modules stay: nothing here remembers them. */
#include "fuse/names.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static const char *skip_blanks(const char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* Behind blanks and [STATUS=ACTION ...]. */
static const char *skip_actions(const char *at)
{
    for (at = skip_blanks(at); *at == '['; at = skip_blanks(at)) {
        at += strcspn(at, "]");
        at += *at == ']';
    }
    return at;
}

const char *dlf_names_hosts(const char *line)
{
    static const char key[] = "hosts:";
    line = skip_blanks(line);
    return strncmp(line, key, sizeof(key) - 1) == 0 ? line + sizeof(key) - 1 : NULL;
}

int dlf_names_next(const char **at, char module[DLF_NAMES_MODULE_MAX])
{
    const char *word = skip_actions(*at);
    size_t length = strcspn(word, " \t\r\n[#");
    *at = word + length;
    if (length == 0 || memchr(word, '/', length) ||
        length > DLF_NAMES_MODULE_MAX - sizeof("libnss_.so.2"))
        return 0;
    snprintf(module, DLF_NAMES_MODULE_MAX, "libnss_%.*s.so.2", (int)length, word);
    return 1;
}

void dlf_names_load(const char *path)
{
    char line[1024];
    char module[DLF_NAMES_MODULE_MAX];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        const char *at = dlf_names_hosts(line);
        while (at && dlf_names_next(&at, module))
            (void)dlopen(module, RTLD_LAZY | RTLD_LOCAL);
    }
    if (file)
        fclose(file);
}
