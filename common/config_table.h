/*
 * The inside of the configuration (common/config.h): the table's rows as data, the texts that were
 * given for them, and the steps from texts to a struct config. For common/config_*.c and their tests.
 *
 *   config_parse.c   file, environment, flags -> struct config_raw
 *   config_value.c   the text of one setting <-> its value
 *   config.c         struct config_raw -> struct config
 *   config_check.c   settings against each other
 *   config_print.c   the table and the values as text
 *
 * Owns: struct config_raw owns its texts. Thread: one at a time. Errors: ERR_INVALID naming source,
 * line and setting; ERR_FULL without memory.
 */
#ifndef WATCHPOST_COMMON_CONFIG_TABLE_H
#define WATCHPOST_COMMON_CONFIG_TABLE_H

#include <stddef.h>

#include "common/bytes.h"
#include "common/config.h"

enum setting_type {
	SETTING_TEXT,
	SETTING_INT,
	SETTING_BOOL,
	SETTING_ENVIRONMENT,
	SETTING_SECRET_FILE,
	SETTING_SECRET_FILES
};

/* The index of a setting: SETTING_INDEX_listen_port. */
#define SETTING(name, type, def, min, max, programs, reload, help) SETTING_INDEX_##name,
enum {
#include "common/settings.def"
	SETTINGS_COUNT
};
#undef SETTING

struct setting {
	const char *name;
	enum setting_type type;
	const char *default_text; /* of TEXT and the secrets' paths */
	int64_t default_number;   /* of the others */
	int64_t min;
	int64_t max;
	unsigned programs; /* bits of enum config_program */
	bool reloadable;
	const char *help;
	size_t offset;        /* of the value in struct config; of the path for secrets */
	size_t secret_offset; /* of struct secret or struct secret_list */
};

extern const struct setting config_settings[SETTINGS_COUNT];

/* The index of the setting of that name, -1 without one. `flag`: dashes stand for underscores. */
int config_find(struct bytes name, bool flag);
/* The setting whose name is most like this one; NULL when none is. */
const char *config_nearest(struct bytes name);
/* "watchpost-ingress"; `program` is a single bit. */
const char *config_program_name(enum config_program program);

/* Where a setting's text came from, in rising order. */
enum config_source { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_ENVIRONMENT, CONFIG_FROM_FLAG };

struct config_given {
	enum config_source source;
	unsigned line; /* in the file, from 1 */
	char *text;    /* NULL for CONFIG_FROM_DEFAULT */
};

struct config_raw {
	char *path; /* of the file; NULL without one */
	struct config_given given[SETTINGS_COUNT];
};

MUSTCHECK struct config_raw *config_raw_new(struct err *err);
void config_raw_free(struct config_raw *raw);

/* Checks the text and keeps it unless a higher source gave one already. given->text is borrowed. */
MUSTCHECK bool config_raw_set(struct config_raw *raw, int index, const struct config_given *given, struct err *err);
/* Each adds one source. raw->path must be set before config_raw_parse_file; it names it in errors. */
MUSTCHECK bool config_raw_parse_text(struct config_raw *raw, struct bytes text, struct err *err);
MUSTCHECK bool config_raw_parse_file(struct config_raw *raw, struct err *err);
MUSTCHECK bool config_raw_parse_environment(struct config_raw *raw, char *const *environment, struct err *err);
/* As config_load says; sets raw->path from --config. */
MUSTCHECK bool config_raw_parse_flags(struct config_raw *raw, enum config_program program, char **argv, int *rest,
				      struct err *err);
/* The flags of `from` again, for a reload. */
MUSTCHECK bool config_raw_copy_flags(struct config_raw *raw, const struct config_raw *from, struct err *err);

/* "etc/watchpost.conf line 3: listen_port", "WATCHPOST_SET_LISTEN_PORT", "--listen-port". */
enum { CONFIG_ORIGIN_BYTES = ERR_TEXT_BYTES_MAX / 2 };
void config_origin(const struct config_raw *raw, int index, const struct config_given *given,
		   char out[CONFIG_ORIGIN_BYTES]);

/* Whether the text is a value of this setting; the error says what is, without naming the setting. */
MUSTCHECK bool config_value_check(const struct setting *setting, const char *text, struct err *err);
/* The text's number: for BOOL 0 or 1, for ENVIRONMENT the enum. False: it is none. */
MUSTCHECK bool config_value_number(const struct setting *setting, const char *text, int64_t *number);
/* A number of the setting's type as text. `out` holds CONFIG_NUMBER_BYTES. */
enum { CONFIG_NUMBER_BYTES = sizeof("-9223372036854775808") };
const char *config_number_text(const struct setting *setting, int64_t number, char out[CONFIG_NUMBER_BYTES]);

/* The value that `config` holds, as a text that parses to the same. May point into `config` or to
 * `number`. */
const char *config_value_text(const struct config *config, const struct setting *setting,
			      char number[CONFIG_NUMBER_BYTES]);

/* Makes the values and reads the secrets. Takes `raw` over in any case. */
MUSTCHECK struct config *config_build(enum config_program program, struct config_raw *raw, struct err *err);
/* The rules between settings, for server programs. */
MUSTCHECK bool config_check(const struct config *config, struct err *err);

#endif
