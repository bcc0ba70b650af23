/*
 * An argv or an environment from one text, for functions that take `char **`.
 *
 * Owns: the words' bytes, inline; struct words must stay where it is. Thread: one.
 */
#ifndef WATCHPOST_TESTS_UNIT_SUPPORT_WORDS_H
#define WATCHPOST_TESTS_UNIT_SUPPORT_WORDS_H

struct words {
	int count;
	char *list[32]; /* ends in NULL, as argv does */
	char text[1024];
};

/* Splits at single blanks. Returns words->list. */
char **words_split(struct words *words, const char *text);

#endif
