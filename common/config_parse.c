/* From the file, the environment and the flags to the text of each setting. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/config_table.h"

static const char environment_prefix[] = "WATCHPOST_SET_";
enum { PREFIX_BYTES = sizeof(environment_prefix) - 1 };

struct config_raw *config_raw_new(struct err *err)
{
	struct config_raw *raw = calloc(1, sizeof(*raw));

	if (raw == NULL)
		err_set(err, ERR_FULL, "no memory for the configuration");
	return raw;
}

void config_raw_free(struct config_raw *raw)
{
	if (raw == NULL)
		return;
	for (int i = 0; i < SETTINGS_COUNT; i++)
		free(raw->given[i].text);
	free(raw->path);
	free(raw);
}

static bool out_of_memory(struct err *err)
{
	return err_set(err, ERR_FULL, "no memory for the configuration");
}

/* --- one setting -------------------------------------------------------------------------------- */

void config_origin(const struct config_raw *raw, int index, const struct config_given *given,
		   char out[CONFIG_ORIGIN_BYTES])
{
	const char *name = config_settings[index].name;
	const char *before = "";
	size_t start;

	assert(index >= 0 && index < SETTINGS_COUNT);
	if (given->source == CONFIG_FROM_FILE) {
		/* A path too long for the message is cut: the line and the setting still stand there. */
		(void)snprintf(out, CONFIG_ORIGIN_BYTES, "%.150s line %u: %s", raw->path != NULL ? raw->path : "file",
			       given->line, name);
		return;
	}
	if (given->source == CONFIG_FROM_ENVIRONMENT)
		before = environment_prefix;
	else if (given->source == CONFIG_FROM_FLAG)
		before = "--";
	start = strlen(before);
	(void)snprintf(out, CONFIG_ORIGIN_BYTES, "%s%s", before, name);
	for (char *c = out + start; *c != '\0'; c++) {
		if (given->source == CONFIG_FROM_ENVIRONMENT)
			*c = (char)toupper((unsigned char)*c);
		else if (given->source == CONFIG_FROM_FLAG && *c == '_')
			*c = '-';
	}
}

static bool check_bytes(const char *text, struct err *err)
{
	size_t len = strlen(text);

	if (len > CONFIG_VALUE_BYTES_MAX)
		return err_set(err, ERR_INVALID, "the value is longer than %d bytes", CONFIG_VALUE_BYTES_MAX);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return err_set(err, ERR_INVALID, "the value holds a control character");
	}
	return true;
}

bool config_raw_set(struct config_raw *raw, int index, const struct config_given *given, struct err *err)
{
	struct config_given *kept = &raw->given[index];
	char origin[CONFIG_ORIGIN_BYTES];
	char *text;

	assert(index >= 0 && index < SETTINGS_COUNT);
	assert(given->source != CONFIG_FROM_DEFAULT && given->text != NULL);
	if (!check_bytes(given->text, err) || !config_value_check(&config_settings[index], given->text, err)) {
		config_origin(raw, index, given, origin);
		return err_context(err, "%s", origin);
	}
	if (given->source < kept->source)
		return true;
	text = strdup(given->text);
	if (text == NULL)
		return out_of_memory(err);
	free(kept->text);
	*kept = (struct config_given){.source = given->source, .line = given->line, .text = text};
	return true;
}

/* `name` may come from outside: it is shown only when it is made of letters, digits, '_' and '-'. */
static bool unknown_setting(struct bytes name, struct err *err)
{
	const char *nearest = config_nearest(name);

	for (size_t i = 0; i < name.len; i++) {
		if (!isalnum(name.data[i]) && name.data[i] != '_' && name.data[i] != '-')
			return err_set(err, ERR_INVALID, "a setting's name holds letters, digits and '_' only");
	}
	if (nearest == NULL)
		return err_set(err, ERR_INVALID, "there is no setting \"%.*s\"", (int)(name.len < 60 ? name.len : 60),
			       (const char *)name.data);
	return err_set(err, ERR_INVALID, "there is no setting \"%.*s\"; did you mean %s?", (int)name.len,
		       (const char *)name.data, nearest);
}

/* --- the file ----------------------------------------------------------------------------------- */

static struct bytes trimmed(struct bytes text)
{
	while (text.len > 0 && isblank(text.data[0]))
		text = bytes_make(text.data + 1, text.len - 1);
	while (text.len > 0 && (isblank(text.data[text.len - 1]) || text.data[text.len - 1] == '\r'))
		text.len--;
	return text;
}

/* A value as a NUL-terminated text; longer ones than a value may be are refused first. */
static bool copy_value(struct bytes value, char out[CONFIG_VALUE_BYTES_MAX + 1], struct err *err)
{
	if (value.len > CONFIG_VALUE_BYTES_MAX)
		return err_set(err, ERR_INVALID, "the value is longer than %d bytes", CONFIG_VALUE_BYTES_MAX);
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] == '\0')
			return err_set(err, ERR_INVALID, "the value holds a NUL");
		if (value.data[i] == '#' && i > 0 && isblank(value.data[i - 1]))
			return err_set(err, ERR_INVALID, "a comment stands on a line of its own");
	}
	if (value.len > 0)
		memcpy(out, value.data, value.len);
	out[value.len] = '\0';
	return true;
}

/* *named becomes true when the error says where already; else the caller adds file and line. */
static bool parse_assignment(struct config_raw *raw, struct bytes line, unsigned number, bool *named, struct err *err)
{
	char value[CONFIG_VALUE_BYTES_MAX + 1];
	struct config_given given = {.source = CONFIG_FROM_FILE, .line = number, .text = value};
	const uint8_t *equals = memchr(line.data, '=', line.len);
	struct bytes name;
	int index;

	if (equals == NULL)
		return err_set(err, ERR_INVALID, "this is not \"name = value\"");
	name = trimmed(bytes_make(line.data, (size_t)(equals - line.data)));
	index = config_find(name, false);
	if (index < 0)
		return unknown_setting(name, err);
	if (!copy_value(trimmed(bytes_make(equals + 1, (size_t)(line.data + line.len - equals - 1))), value, err))
		return err_context(err, "%s", config_settings[index].name);
	if (raw->given[index].source == CONFIG_FROM_FILE)
		return err_set(err, ERR_INVALID, "%s is already set in line %u", config_settings[index].name,
			       raw->given[index].line);
	*named = true;
	return config_raw_set(raw, index, &given, err);
}

static bool parse_line(struct config_raw *raw, struct bytes line, unsigned number, struct err *err)
{
	struct bytes content = trimmed(line);
	bool named = false; /* whether the error says where already */

	if (line.len > CONFIG_LINE_BYTES_MAX)
		err_set(err, ERR_INVALID, "the line is longer than %d bytes", CONFIG_LINE_BYTES_MAX);
	else if (content.len == 0 || content.data[0] == '#' || parse_assignment(raw, content, number, &named, err))
		return true;
	if (!named)
		err_context(err, "%.150s line %u", raw->path != NULL ? raw->path : "file", number);
	return false;
}

bool config_raw_parse_text(struct config_raw *raw, struct bytes text, struct err *err)
{
	unsigned number = 0;

	while (text.len > 0) {
		const uint8_t *end = memchr(text.data, '\n', text.len);
		size_t len = end != NULL ? (size_t)(end - text.data) : text.len;
		size_t used = end != NULL ? len + 1 : len;

		if (!parse_line(raw, bytes_make(text.data, len), ++number, err))
			return false;
		text = bytes_make(text.data + used, text.len - used);
	}
	return true;
}

/* Reads until the end; anything that can be read will do, so also /dev/fd/3. */
static bool read_all(int fd, struct buf *content, struct err *err)
{
	for (;;) {
		uint8_t piece[4096];
		ssize_t got = read(fd, piece, sizeof(piece));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, ERR_INVALID, "%s", strerror(errno));
		if (got == 0)
			return true;
		if (buf_append(content, piece, (size_t)got))
			continue;
		if (buf_fits(content, (size_t)got))
			return out_of_memory(err);
		return err_set(err, ERR_INVALID, "longer than %d bytes", CONFIG_FILE_BYTES_MAX);
	}
}

bool config_raw_parse_file(struct config_raw *raw, struct err *err)
{
	struct buf content;
	bool done = false;
	int fd;

	assert(raw->path != NULL);
	buf_init(&content, CONFIG_FILE_BYTES_MAX);
	fd = open(raw->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err_set(err, ERR_INVALID, "cannot open %s: %s", raw->path, strerror(errno));
		goto out;
	}
	if (!read_all(fd, &content, err)) {
		err_context(err, "while reading %s", raw->path);
		goto out;
	}
	done = config_raw_parse_text(raw, buf_bytes(&content), err);
out:
	if (fd >= 0)
		close(fd);
	buf_free(&content);
	return done;
}

/* --- the environment ---------------------------------------------------------------------------- */

static bool parse_variable(struct config_raw *raw, const char *variable, struct err *err)
{
	struct config_given given = {.source = CONFIG_FROM_ENVIRONMENT};
	const char *equals = strchr(variable, '=');
	char name[CONFIG_NAME_BYTES_MAX];
	char value[CONFIG_VALUE_BYTES_MAX + 2]; /* one more than may be, for the check to find */
	size_t len;
	int index;

	if (equals == NULL)
		return true;
	len = (size_t)(equals - variable) - PREFIX_BYTES;
	if (len > sizeof(name))
		return err_set(err, ERR_INVALID, "%s in the environment: no setting has so long a name",
			       environment_prefix);
	for (size_t i = 0; i < len; i++) {
		if (islower((unsigned char)variable[PREFIX_BYTES + i]))
			return err_set(err, ERR_INVALID, "%s in the environment: the name stands in upper case",
				       environment_prefix);
		name[i] = (char)tolower((unsigned char)variable[PREFIX_BYTES + i]);
	}
	index = config_find(bytes_make(name, len), false);
	if (index < 0) {
		unknown_setting(bytes_make(name, len), err);
		return err_context(err, "%s in the environment", environment_prefix);
	}
	if (equals[1] == '\0')
		return true;
	(void)snprintf(value, sizeof(value), "%s", equals + 1);
	given.text = value;
	return config_raw_set(raw, index, &given, err);
}

bool config_raw_parse_environment(struct config_raw *raw, char *const *environment, struct err *err)
{
	for (; *environment != NULL; environment++) {
		if (strncmp(*environment, environment_prefix, PREFIX_BYTES) == 0 &&
		    !parse_variable(raw, *environment, err))
			return false;
	}
	return true;
}

/* --- flags -------------------------------------------------------------------------------------- */

/* One walk over argv: settings go into raw, everything else is gathered for the caller. */
struct flags {
	struct config_raw *raw;
	enum config_program program;
	char **argv;
	int at;       /* the next word */
	char **words; /* what is left for the caller */
	int words_count;
};

/* The value after '=' or the next word; NULL when there is none. */
static char *take_flag_value(struct flags *f, char *equals)
{
	if (equals != NULL)
		return equals + 1;
	if (f->argv[f->at] == NULL)
		return NULL;
	return f->argv[f->at++];
}

static bool set_path(struct flags *f, char *equals, struct err *err)
{
	const char *value = take_flag_value(f, equals);
	char *path;

	if (value == NULL || value[0] == '\0')
		return err_set(err, ERR_INVALID, "--config needs the name of a file");
	path = strdup(value);
	if (path == NULL)
		return out_of_memory(err);
	free(f->raw->path);
	f->raw->path = path;
	return true;
}

static bool set_flag(struct flags *f, int index, char *equals, struct err *err)
{
	struct config_given given = {.source = CONFIG_FROM_FLAG};

	given.text = take_flag_value(f, equals);
	if (given.text == NULL) {
		char origin[CONFIG_ORIGIN_BYTES];

		config_origin(f->raw, index, &given, origin);
		return err_set(err, ERR_INVALID, "%s needs a value", origin);
	}
	return config_raw_set(f->raw, index, &given, err);
}

/* A word that is no setting of this program: watchpostctl has words and flags of its own. */
static bool leave_word(struct flags *f, char *word, struct err *err)
{
	if (f->program == CONFIG_CTL) {
		f->words[f->words_count++] = word;
		return true;
	}
	return err_set(err, ERR_INVALID, "%s takes no words besides flags", config_program_name(f->program));
}

static bool parse_flag(struct flags *f, char *word, struct err *err)
{
	char *equals = strchr(word, '=');
	struct bytes name = bytes_make(word + 2, equals != NULL ? (size_t)(equals - word) - 2 : strlen(word) - 2);
	int index;

	if (bytes_equal_text(name, "config"))
		return set_path(f, equals, err);
	index = config_find(name, true);
	if (index >= 0 && (config_settings[index].programs & (unsigned)f->program) != 0)
		return set_flag(f, index, equals, err);
	if (f->program == CONFIG_CTL)
		return leave_word(f, word, err);
	if (index >= 0)
		return err_set(err, ERR_INVALID, "--%.*s is no setting of %s", (int)name.len, (const char *)name.data,
			       config_program_name(f->program));
	unknown_setting(name, err);
	return err_context(err, "flags");
}

static bool parse_words(struct flags *f, struct err *err)
{
	while (f->argv[f->at] != NULL) {
		char *word = f->argv[f->at++];
		bool done;

		if (strcmp(word, "--") == 0)
			break;
		done = strncmp(word, "--", 2) == 0 ? parse_flag(f, word, err) : leave_word(f, word, err);
		if (!done)
			return false;
	}
	while (f->argv[f->at] != NULL) {
		if (!leave_word(f, f->argv[f->at++], err))
			return false;
	}
	return true;
}

bool config_raw_parse_flags(struct config_raw *raw, enum config_program program, char **argv, int *rest,
			    struct err *err)
{
	struct flags f = {.raw = raw, .program = program, .argv = argv, .at = 1};
	int argc = 0;
	bool done;

	while (argv[argc] != NULL)
		argc++;
	*rest = argc;
	if (argc < 2)
		return true;
	f.words = calloc((size_t)argc, sizeof(*f.words));
	if (f.words == NULL)
		return out_of_memory(err);
	done = parse_words(&f, err);
	if (done) {
		/* The settings' words are done with: the caller's take the last places. */
		*rest = argc - f.words_count;
		assert(*rest >= 1);
		for (int i = 0; i < f.words_count; i++)
			argv[*rest + i] = f.words[i];
	}
	free(f.words);
	return done;
}

bool config_raw_copy_flags(struct config_raw *raw, const struct config_raw *from, struct err *err)
{
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		if (from->given[i].source == CONFIG_FROM_FLAG && !config_raw_set(raw, i, &from->given[i], err))
			return false;
	}
	if (from->path == NULL)
		return true;
	raw->path = strdup(from->path);
	return raw->path != NULL || out_of_memory(err);
}
