/*
 * The configuration: one table (common/settings.def), typed access.
 *
 * From that one table come the defaults, the parser of file, environment and flags, `--help`, the
 * sample file (`--sample-config`), docs/configuration.md and `--check-config`. Sources in rising
 * order: default, file (`name = value`, '#' comments), environment WATCHPOST_SET_<NAME> (empty = not
 * given; an unknown name is an error), flags `--name value` or `--name=value` (dashes or
 * underscores). A setting that this program does not use is accepted in the file (one file serves
 * all programs) but refused as a flag.
 *
 * Secrets come from files: a SECRET_FILE setting's value is a path; its content is read when the
 * configuration is loaded and again at config_reload.
 *
 * Owns: struct config owns its strings and secrets; config_free wipes the secrets.
 * Thread: loading is for the main thread. Running threads read a snapshot that is never written
 * again: a reload makes a new struct config.
 * Errors: ERR_INVALID naming source, line and setting; nothing is half loaded.
 */
#ifndef WATCHPOST_COMMON_CONFIG_H
#define WATCHPOST_COMMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"
#include "common/secret.h"

/* Who uses a setting; the bits of one program are one of these. */
enum config_program {
	CONFIG_INGRESS = 1u << 0,
	CONFIG_SUBSCRIPTION_SYNC = 1u << 1,
	CONFIG_AUDIT_LOG = 1u << 2,
	CONFIG_REVOCATION_FANOUT = 1u << 3,
	CONFIG_OUTBOX_RELAY = 1u << 4,
	CONFIG_CTL = 1u << 5,
	CONFIG_WORKERS = CONFIG_SUBSCRIPTION_SYNC | CONFIG_AUDIT_LOG | CONFIG_REVOCATION_FANOUT | CONFIG_OUTBOX_RELAY,
	CONFIG_SERVERS = CONFIG_INGRESS | CONFIG_WORKERS,
	CONFIG_ALL = CONFIG_SERVERS | CONFIG_CTL
};

enum environment { ENVIRONMENT_NONE, ENVIRONMENT_DEVELOPMENT, ENVIRONMENT_STAGING, ENVIRONMENT_PRODUCTION };

/* "development" …; "" for NONE. */
const char *environment_name(enum environment e);

/* A file list setting keeps paths and contents of up to STRIPE_SECRETS_MAX files, comma-separated. */
struct secret_list {
	size_t count;
	struct secret items[STRIPE_SECRETS_MAX];
};

/* Field types by table type: TEXT char *, INT int64_t, BOOL bool, ENVIRONMENT enum environment,
 * SECRET_FILE struct secret (len 0 = not given), SECRET_FILES struct secret_list. For the last two
 * the path stands in <name>_path. */
#define CONFIG_FIELD_TEXT(name)        char *name;
#define CONFIG_FIELD_INT(name)         int64_t name;
#define CONFIG_FIELD_BOOL(name)        bool name;
#define CONFIG_FIELD_ENVIRONMENT(name) enum environment name;
#define CONFIG_FIELD_SECRET_FILE(name)                                                                                 \
	struct secret name;                                                                                            \
	char *name##_path;
#define CONFIG_FIELD_SECRET_FILES(name)                                                                                \
	struct secret_list name;                                                                                       \
	char *name##_path;
#define SETTING(name, type, def, min, max, programs, reload, help) CONFIG_FIELD_##type(name)
struct config_raw;
struct config {
	enum config_program program;
	char *config_path;      /* NULL when no file was given */
	struct config_raw *raw; /* private: what was given, and where */
#include "common/settings.def"
};
#undef SETTING

/* Loads file, environment and flags for `program`. argv is looked at from argv[1].
 * CONFIG_CTL: words and flags that are no settings of it, and what follows "--", are left for the
 * caller in their order: *rest is set to the index of the first one (permuted to the end of argv).
 * Servers take no such words: they are errors, and *rest becomes argc.
 * For servers the settings are also checked against each other (environment required, tls needs its
 * files, what production demands …). Returns NULL and *err on any problem. */
MUSTCHECK struct config *config_load(enum config_program program, int argc, char **argv, int *rest, struct err *err);

/* The same sources again (the flags as they were): for SIGHUP. Settings that are not reloadable must
 * be as they were, else ERR_INVALID names the first one that changed and the old one goes on. For a
 * secret this means its path: the file is read anew in any case. */
MUSTCHECK struct config *config_reload(const struct config *old, struct err *err);

void config_free(struct config *config);

/* Handles --help, --version, --check-config and --sample-config, which every program takes: true when one was
 * given, with the exit status to end with in *status. `summary` is the program's one line. */
MUSTCHECK bool config_answer_flags(enum config_program program, int argc, char **argv, const char *summary,
				   int *status);

/* Parts of the same table, for docs and ctl. config_print_values writes `name = value` lines, secrets
 * as their paths; the configuration file that has these lines means the same. */
void config_print_values(FILE *to, const struct config *config);
void config_print_options(FILE *to, enum config_program program);
void config_print_sample(FILE *to);
void config_print_markdown(FILE *to);

#endif
