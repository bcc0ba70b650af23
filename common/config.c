#include "common/config.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"

extern char **environ;

static void *field_at(struct config *config, size_t offset)
{
	assert(offset < sizeof(*config));
	return (char *)config + offset;
}

static bool read_secret(struct secret *secret, const char *path, struct err *err)
{
	if (secret_read_file(secret, path, err))
		return true;
	err->code = ERR_INVALID; /* whatever it was, it is the configuration that has to change */
	return false;
}

static bool read_secret_list(struct secret_list *list, const char *paths, struct err *err)
{
	while (*paths != '\0') {
		char path[CONFIG_VALUE_BYTES_MAX + 1];
		size_t len = strcspn(paths, ",");
		struct bytes item = bytes_make(paths, len);

		while (item.len > 0 && item.data[0] == ' ')
			item = bytes_make(item.data + 1, item.len - 1);
		while (item.len > 0 && item.data[item.len - 1] == ' ')
			item.len--;
		if (item.len == 0)
			return err_set(err, ERR_INVALID, "the list of files has an empty item");
		if (list->count == STRIPE_SECRETS_MAX)
			return err_set(err, ERR_INVALID, "there are more than %d files", STRIPE_SECRETS_MAX);
		assert(item.len < sizeof(path));
		memcpy(path, item.data, item.len);
		path[item.len] = '\0';
		if (!read_secret(&list->items[list->count], path, err))
			return false;
		list->count++;
		paths += len + (paths[len] == ',');
	}
	return true;
}

/* Secrets of other programs are not read: this one need not be allowed to. */
static bool read_secrets(struct config *config, const struct setting *setting, const char *paths, struct err *err)
{
	if (paths[0] == '\0' || (setting->programs & (unsigned)config->program) == 0)
		return true;
	if (setting->type == SETTING_SECRET_FILE)
		return read_secret(field_at(config, setting->secret_offset), paths, err);
	assert(setting->type == SETTING_SECRET_FILES);
	return read_secret_list(field_at(config, setting->secret_offset), paths, err);
}

static bool set_text(struct config *config, const struct setting *setting, const char *text, struct err *err)
{
	char **field = field_at(config, setting->offset);

	*field = strdup(text != NULL ? text : setting->default_text);
	if (*field == NULL)
		return err_set(err, ERR_FULL, "no memory for the configuration");
	return setting->type == SETTING_TEXT || read_secrets(config, setting, *field, err);
}

static void set_number(struct config *config, const struct setting *setting, const char *text)
{
	void *field = field_at(config, setting->offset);
	int64_t number = setting->default_number;

	if (text != NULL) {
		bool is_number = config_value_number(setting, text, &number);

		assert(is_number); /* config_raw_set let nothing else pass */
	}
	if (setting->type == SETTING_INT)
		*(int64_t *)field = number;
	else if (setting->type == SETTING_BOOL)
		*(bool *)field = number != 0;
	else
		*(enum environment *)field = (enum environment)number;
}

static bool set_value(struct config *config, int index, struct err *err)
{
	const struct setting *setting = &config_settings[index];
	const struct config_given *given = &config->raw->given[index];
	char origin[CONFIG_ORIGIN_BYTES];

	if (setting->type == SETTING_INT || setting->type == SETTING_BOOL || setting->type == SETTING_ENVIRONMENT) {
		set_number(config, setting, given->text);
		return true;
	}
	if (set_text(config, setting, given->text, err))
		return true;
	config_origin(config->raw, index, given, origin);
	return err_context(err, "%s", origin);
}

struct config *config_build(enum config_program program, struct config_raw *raw, struct err *err)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config == NULL) {
		err_set(err, ERR_FULL, "no memory for the configuration");
		config_raw_free(raw);
		return NULL;
	}
	config->program = program;
	config->raw = raw;
	config->config_path = raw->path;
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		if (!set_value(config, i, err))
			goto fail;
	}
	if ((program & CONFIG_SERVERS) != 0 && !config_check(config, err))
		goto fail;
	return config;
fail:
	config_free(config);
	return NULL;
}

/* What flags gave is in `raw`, which is taken over. */
static struct config *load_below_flags(enum config_program program, struct config_raw *raw, struct err *err)
{
	if (raw->path != NULL && !config_raw_parse_file(raw, err))
		goto fail;
	if (!config_raw_parse_environment(raw, environ, err))
		goto fail;
	return config_build(program, raw, err);
fail:
	config_raw_free(raw);
	return NULL;
}

struct config *config_load(enum config_program program, int argc, char **argv, int *rest, struct err *err)
{
	struct config_raw *raw = config_raw_new(err);

	assert(argc >= 0 && argv[argc] == NULL);
	if (raw == NULL)
		return NULL;
	if (!config_raw_parse_flags(raw, program, argv, rest, err)) {
		config_raw_free(raw);
		return NULL;
	}
	return load_below_flags(program, raw, err);
}

/* True when every setting that needs a restart is as it was. */
static bool same_but_reloadable(const struct config *old, const struct config *new, struct err *err)
{
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *setting = &config_settings[i];
		char old_number[CONFIG_NUMBER_BYTES], new_number[CONFIG_NUMBER_BYTES];

		if (setting->reloadable || (setting->programs & (unsigned)old->program) == 0)
			continue;
		if (strcmp(config_value_text(old, setting, old_number), config_value_text(new, setting, new_number)) !=
		    0)
			return err_set(err, ERR_INVALID, "%s changed; it takes a restart", setting->name);
	}
	return true;
}

struct config *config_reload(const struct config *old, struct err *err)
{
	struct config_raw *raw = config_raw_new(err);
	struct config *config;

	if (raw == NULL)
		return NULL;
	if (!config_raw_copy_flags(raw, old->raw, err)) {
		config_raw_free(raw);
		return NULL;
	}
	config = load_below_flags(old->program, raw, err);
	if (config != NULL && !same_but_reloadable(old, config, err)) {
		config_free(config);
		return NULL;
	}
	return config;
}

void config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *setting = &config_settings[i];

		if (setting->type != SETTING_INT && setting->type != SETTING_BOOL &&
		    setting->type != SETTING_ENVIRONMENT)
			free(*(char **)field_at(config, setting->offset));
	}
	config_raw_free(config->raw);
	/* The secrets stand inline. */
	OPENSSL_cleanse(config, sizeof(*config));
	free(config);
}
