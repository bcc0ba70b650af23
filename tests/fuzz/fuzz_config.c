/*
 * The configuration file's parser, for any bytes.
 *
 * Invariant: what it accepts, printed as values and parsed again, gives the same values; an error has a text and the
 * code ERR_INVALID.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NULL when the text is refused. */
static struct config *config_of(struct bytes text)
{
	struct err err = {0};
	struct config_raw *raw = config_raw_new(&err);
	struct config *config;

	assert(raw != NULL);
	if (!config_raw_parse_text(raw, text, &err)) {
		assert(err.code == ERR_INVALID && err.text[0] != '\0');
		config_raw_free(raw);
		return NULL;
	}
	/* Of no program: no secret file is opened and no rule between settings asked. */
	config = config_build((enum config_program)0, raw, &err);
	assert(config != NULL);
	config->program = (enum config_program)CONFIG_ALL; /* every setting is printed */
	return config;
}

static void assert_same(const struct config *a, const struct config *b)
{
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		char a_number[CONFIG_NUMBER_BYTES], b_number[CONFIG_NUMBER_BYTES];

		assert(strcmp(config_value_text(a, &config_settings[i], a_number),
			      config_value_text(b, &config_settings[i], b_number)) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *first = config_of(bytes_make(data, size));
	struct config *second;
	char *text = NULL;
	size_t len = 0;
	FILE *to;

	if (first == NULL)
		return 0;
	to = open_memstream(&text, &len);
	assert(to != NULL);
	config_print_values(to, first);
	assert(fclose(to) == 0);
	second = config_of(bytes_make(text, len));
	assert(second != NULL);
	assert_same(first, second);
	config_free(first);
	config_free(second);
	free(text);
	return 0;
}
