#include "common/config_table.h"

#include <assert.h>
#include <stdlib.h>

#define DEFAULT_TEXT(def)         .default_text = (def)
#define DEFAULT_INT(def)          .default_number = (def)
#define DEFAULT_BOOL(def)         .default_number = (def)
#define DEFAULT_ENVIRONMENT(def)  .default_number = (def)
#define DEFAULT_SECRET_FILE(def)  .default_text = (def)
#define DEFAULT_SECRET_FILES(def) .default_text = (def)

#define PLACE_TEXT(name)        .offset = offsetof(struct config, name)
#define PLACE_INT(name)         .offset = offsetof(struct config, name)
#define PLACE_BOOL(name)        .offset = offsetof(struct config, name)
#define PLACE_ENVIRONMENT(name) .offset = offsetof(struct config, name)
#define PLACE_SECRET_FILE(name)                                                                                        \
	.offset = offsetof(struct config, name##_path), .secret_offset = offsetof(struct config, name)
#define PLACE_SECRET_FILES(name) PLACE_SECRET_FILE(name)

#define SETTING(setting_name, setting_type, def, lowest, highest, used_by, reload, text)                               \
	{.name = #setting_name,                                                                                        \
	 .type = SETTING_##setting_type,                                                                               \
	 DEFAULT_##setting_type(def),                                                                                  \
	 .min = (lowest),                                                                                              \
	 .max = (highest),                                                                                             \
	 .programs = (used_by),                                                                                        \
	 .reloadable = (reload),                                                                                       \
	 .help = (text),                                                                                               \
	 PLACE_##setting_type(setting_name)},
const struct setting config_settings[SETTINGS_COUNT] = {
#include "common/settings.def"
};
#undef SETTING

int config_find(struct bytes name, bool flag)
{
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		const char *wanted = config_settings[i].name;
		size_t at = 0;

		while (at < name.len && wanted[at] != '\0' &&
		       (name.data[at] == wanted[at] || (flag && name.data[at] == '-' && wanted[at] == '_')))
			at++;
		if (at == name.len && wanted[at] == '\0')
			return i;
	}
	return -1;
}

static size_t min_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein: the fewest insertions, deletions and replacements that make one the other. */
static size_t edit_distance(struct bytes a, struct bytes b)
{
	size_t row[CONFIG_NAME_BYTES_MAX + 1];

	assert(b.len <= CONFIG_NAME_BYTES_MAX);
	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 0; i < a.len; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < b.len; j++) {
			size_t replaced = diagonal + (a.data[i] != b.data[j]);

			diagonal = row[j + 1];
			row[j + 1] = min_of(replaced, min_of(row[j], diagonal) + 1);
		}
	}
	return row[b.len];
}

const char *config_nearest(struct bytes name)
{
	size_t nearest = name.len / 3 + 1; /* more than a third wrong is another word */
	const char *found = NULL;

	if (name.len > CONFIG_NAME_BYTES_MAX)
		return NULL;
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		size_t distance = edit_distance(bytes_of(config_settings[i].name), name);

		if (distance <= nearest && (found == NULL || distance < nearest)) {
			nearest = distance;
			found = config_settings[i].name;
		}
	}
	return found;
}

const char *config_program_name(enum config_program program)
{
	switch ((unsigned)program) {
	case CONFIG_INGRESS:
		return "watchpost-ingress";
	case CONFIG_SUBSCRIPTION_SYNC:
		return "watchpost-subscription-sync";
	case CONFIG_AUDIT_LOG:
		return "watchpost-audit-log";
	case CONFIG_REVOCATION_FANOUT:
		return "watchpost-revocation-fanout";
	case CONFIG_OUTBOX_RELAY:
		return "watchpost-outbox-relay";
	case CONFIG_CTL:
		return "watchpostctl";
	}
	abort(); /* more than one program, or none */
}

const char *environment_name(enum environment e)
{
	static const char *const names[] = {
		[ENVIRONMENT_NONE] = "",
		[ENVIRONMENT_DEVELOPMENT] = "development",
		[ENVIRONMENT_STAGING] = "staging",
		[ENVIRONMENT_PRODUCTION] = "production",
	};

	assert((size_t)e < ARRAY_LEN(names));
	return names[e];
}
