/* Numbers in text. Owns nothing; pure, any thread. */
#include "format/text.h"

bool dlf_text_number(const char *text, uint64_t max, uint64_t *number, const char **end)
{
    uint64_t n = 0;
    const char *p = text;
    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (digit > max || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *number = n;
    *end = p;
    return true;
}
