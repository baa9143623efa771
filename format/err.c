/* Formats error lines. Pure, any thread. */
#include "format/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void dlf_say(struct dlf_err *err, const char *fmt, ...)
{
    char msg[sizeof(err->msg)];
    va_list ap;
    if (!err)
        return;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    /* Through msg, because an argument may be the previous line. */
    memcpy(err->msg, msg, strlen(msg) + 1);
}
