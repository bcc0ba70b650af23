#include "tests/unit/support/words.h"

#include <assert.h>
#include <string.h>

#include "common/compiler.h"

char **words_split(struct words *words, const char *text)
{
	char *at = words->text;

	assert(strlen(text) < sizeof(words->text));
	memcpy(words->text, text, strlen(text) + 1);
	words->count = 0;
	while (at != NULL) {
		assert(words->count + 1 < (int)ARRAY_LEN(words->list));
		words->list[words->count++] = strsep(&at, " ");
	}
	words->list[words->count] = NULL;
	return words->list;
}
