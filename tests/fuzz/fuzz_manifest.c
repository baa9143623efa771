/* Any bytes as a manifest: refused with a word, or in range and written again as the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/boot.h"
#include "format/index.h"
#include "format/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dlf_manifest m;
    struct dlf_err err = {""};
    char again[1024 + DLF_MIRROR_LINES_MAX * 256 + DLF_SIGNATURES_TEXT_MAX];
    if (dlf_manifest_parse(&m, (const char *)data, size, &err) < 0) {
        if (!err.msg[0])
            abort();
        return 0;
    }
    if (!dlf_name_valid(m.name) || m.serial == 0 || m.image_size > DLF_IMAGE_MAX ||
        m.index_size > DLF_INDEX_MAX || m.index_head_size < DLF_INDEX_FIXED_SIZE ||
        m.index_head_size > DLF_INDEX_HEAD_MAX || m.index_head_size > m.index_size)
        abort();
    if (m.boot_size
            ? m.boot_table_size < DLF_BOOT_FIXED_SIZE || m.boot_table_size > DLF_BOOT_TABLE_MAX ||
                  m.boot_table_size > m.boot_size || m.boot_size > DLF_BOOT_MAX
            : m.boot_table_size != 0)
        abort();
    int n = dlf_manifest_format(&m, again, sizeof(again));
    if (n < 0 || (size_t)n != size || memcmp(again, data, size) != 0)
        abort();
    return 0;
}
