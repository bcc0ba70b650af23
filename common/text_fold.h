/*
 * Text as a reader sees it, in ASCII: what looks like an ASCII letter, digit, blank, dash or dot becomes it, what
 * cannot be seen is left out. So that a rule about digits is not passed by with Arabic, full-width or circled ones.
 *
 * Folded: decimal digits of every script, full-width forms, mathematical, circled, superscript and subscript digits and
 * letters, the blanks, dashes, dots and slashes of Unicode. Left out: zero-width and directional marks, joiners,
 * variation selectors, combining marks, the soft hyphen. Letters of other alphabets that only resemble ours stay
 * foreign.
 *
 * Owns: nothing. Thread: any. Errors: none; a byte that is not UTF-8 counts as foreign.
 */
#ifndef WATCHPOST_COMMON_TEXT_FOLD_H
#define WATCHPOST_COMMON_TEXT_FOLD_H

#include "common/bytes.h"

/* Stands for any character that has no ASCII look. */
enum { TEXT_FOLD_FOREIGN = 0x80 };

/* `out` has room for text.len bytes; returns how many were written. */
size_t text_fold(struct bytes text, char *out);

#endif
