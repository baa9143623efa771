/*
 * Words and numbers of the project's text formats (manifest, trace). There is one way to write a
 * number: decimal, no sign, no leading zero. A number that is read and written again gives the same
 * text.
 */
#ifndef DLFUSE_FORMAT_TEXT_H
#define DLFUSE_FORMAT_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Reads the digits that text begins with; *end is behind them. False, with outputs untouched, when
 * there are none or the number is above max.
 */
bool dlf_text_number(const char *text, uint64_t max, uint64_t *number, const char **end);

#endif
