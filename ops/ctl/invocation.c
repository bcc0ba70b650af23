#include "ops/ctl/invocation.h"

#include <assert.h>
#include <string.h>

/* How many words the command has when `words` begins with them; 0 when it does not. */
static int words_match(const struct command *command, const char *const *words)
{
	const char *rest = command->words;
	int matched = 0;

	while (*rest != '\0') {
		size_t len = strcspn(rest, " ");

		if (words[matched] == NULL || strncmp(words[matched], rest, len) != 0 || words[matched][len] != '\0')
			return 0;
		matched++;
		rest += len + (rest[len] == ' ' ? 1 : 0);
	}
	return matched;
}

static const struct command *best_match(const struct command *commands, size_t count, const char *const *words,
					int *length)
{
	const struct command *best = NULL;

	*length = 0;
	for (size_t i = 0; i < count; i++) {
		int matched = words_match(&commands[i], words);

		if (matched > *length) {
			best = &commands[i];
			*length = matched;
		}
	}
	return best;
}

const struct command *invocation_find(const struct command *commands, size_t count, const char *const *words)
{
	int length;

	for (; *words != NULL; words++) {
		const struct command *found = best_match(commands, count, words, &length);

		if (found != NULL)
			return found;
	}
	return NULL;
}

/* The place of a flag in the command's list; -1: it has none of that name. */
static int flag_place(const struct command *command, const char *name, size_t len)
{
	for (int i = 0; command->flags != NULL && command->flags[i].name != NULL; i++) {
		assert(i < COMMAND_FLAGS_MAX);
		if (strlen(command->flags[i].name) == len && strncmp(command->flags[i].name, name, len) == 0)
			return i;
	}
	return -1;
}

const char *invocation_value(const struct invocation *invocation, const char *name)
{
	int place = flag_place(invocation->command, name, strlen(name));

	assert(place >= 0); /* a command asks only for flags that it declares */
	return invocation->values[place];
}

/* Takes one flag and its value; *at is moved past them. */
static bool take_flag(struct invocation *out, const char *const *words, int *at, struct err *err)
{
	const char *name = words[*at] + 2;
	size_t len = strcspn(name, "=");
	int place = flag_place(out->command, name, len);
	bool has_value = name[len] == '=';

	(*at)++;
	if (len == strlen("json") && strncmp(name, "json", len) == 0 && !has_value) {
		out->json = true;
		return true;
	}
	if (place < 0)
		return err_set(err, ERR_INVALID, "%s has no flag --%.*s; see watchpostctl %s --help",
			       out->command->words, (int)(len < 60 ? len : 60), name, out->command->words);
	if (out->values[place] != NULL)
		return err_set(err, ERR_INVALID, "--%s is given twice", out->command->flags[place].name);
	if (out->command->flags[place].value == NULL) {
		if (has_value)
			return err_set(err, ERR_INVALID, "--%s takes no value", out->command->flags[place].name);
		out->values[place] = "";
	} else if (has_value) {
		out->values[place] = name + len + 1;
	} else if (words[*at] != NULL) {
		out->values[place] = words[(*at)++];
	} else {
		return err_set(err, ERR_INVALID, "--%s needs a value: %s", out->command->flags[place].name,
			       out->command->flags[place].value);
	}
	return true;
}

static bool take_argument(struct invocation *out, const char *word, struct err *err)
{
	assert(out->command->arguments_max <= INVOCATION_ARGUMENTS_MAX);
	if (out->argument_count == out->command->arguments_max)
		return err_set(err, ERR_INVALID, "too many words; usage: watchpostctl %s %s", out->command->words,
			       out->command->arguments);
	out->arguments[out->argument_count++] = word;
	return true;
}

bool invocation_parse(const struct command *commands, size_t count, const char *const *words, struct invocation *out,
		      struct err *err)
{
	int at;

	*out = (struct invocation){0};
	out->command = best_match(commands, count, words, &at);
	if (out->command == NULL)
		return err_set(err, ERR_INVALID, "there is no command \"%.60s\"; see watchpostctl --help", words[0]);
	while (words[at] != NULL) {
		bool done = strncmp(words[at], "--", 2) == 0 ? take_flag(out, words, &at, err)
							     : take_argument(out, words[at++], err);

		if (!done)
			return false;
	}
	if (out->argument_count < out->command->arguments_min)
		return err_set(err, ERR_INVALID, "a word is missing; usage: watchpostctl %s %s", out->command->words,
			       out->command->arguments);
	return true;
}
