/* The text of one setting and its value. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/config_table.h"
#include "common/log.h"

/* A value is shown in an error up to here. Texts and paths are not shown at all: a password may stand
 * there by mistake. */
#define SHOWN "\"%.40s\""

static bool parse_int(const char *text, int64_t *number)
{
	const char *digits = text + (text[0] == '-');
	char *end;

	if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0')
		return false;
	errno = 0;
	*number = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static bool parse_bool(const char *text, int64_t *number)
{
	static const char *const words[][2] = {{"false", "true"}, {"off", "on"}, {"no", "yes"}, {"0", "1"}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		for (int64_t value = 0; value < 2; value++) {
			if (strcmp(text, words[i][value]) == 0) {
				*number = value;
				return true;
			}
		}
	}
	return false;
}

static bool parse_environment(const char *text, int64_t *number)
{
	for (int e = ENVIRONMENT_DEVELOPMENT; e <= ENVIRONMENT_PRODUCTION; e++) {
		if (strcmp(text, environment_name((enum environment)e)) == 0) {
			*number = e;
			return true;
		}
	}
	return false;
}

bool config_value_number(const struct setting *setting, const char *text, int64_t *number)
{
	switch (setting->type) {
	case SETTING_INT:
		return parse_int(text, number);
	case SETTING_BOOL:
		return parse_bool(text, number);
	case SETTING_ENVIRONMENT:
		return parse_environment(text, number);
	case SETTING_TEXT:
	case SETTING_SECRET_FILE:
	case SETTING_SECRET_FILES:
		break;
	}
	return false;
}

const char *config_number_text(const struct setting *setting, int64_t number, char out[CONFIG_NUMBER_BYTES])
{
	int len;

	if (setting->type == SETTING_BOOL)
		return number != 0 ? "true" : "false";
	if (setting->type == SETTING_ENVIRONMENT)
		return environment_name((enum environment)number);
	assert(setting->type == SETTING_INT);
	len = snprintf(out, CONFIG_NUMBER_BYTES, "%" PRId64, number);
	assert(len > 0 && len < CONFIG_NUMBER_BYTES);
	return out;
}

static bool check_word(const char *text, const char *const *words, struct err *err)
{
	char list[128] = "";
	size_t len = 0;

	for (size_t i = 0; words[i] != NULL; i++) {
		if (strcmp(text, words[i]) == 0)
			return true;
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i > 0 ? ", " : "", words[i]);
		assert(len < sizeof(list));
	}
	return err_set(err, ERR_INVALID, SHOWN " is not one of %s", text, list);
}

static bool check_trace(const char *text, struct err *err)
{
	uint32_t topics;

	if (log_topics_parse(text, &topics))
		return true;
	return err_set(err, ERR_INVALID, SHOWN " is not a list of http, kafka, pg, worker, stripe, nor none or all",
		       text);
}

/* True for "user:password@" between "//" and the first '/' of a URI. */
static bool uri_has_password(const char *text)
{
	const char *authority = strstr(text, "://");
	size_t len;
	const char *at;

	if (authority == NULL)
		return false;
	authority += 3;
	len = strcspn(authority, "/?");
	at = memrchr(authority, '@', len);
	return at != NULL && memchr(authority, ':', (size_t)(at - authority)) != NULL;
}

/* Promise 4: what would show a password is refused; the value itself is not repeated. */
static bool check_dsn(const char *text, struct err *err)
{
	if (uri_has_password(text) || strcasestr(text, "password") != NULL)
		return err_set(err, ERR_INVALID, "a password does not belong here; give postgres_password_file");
	return true;
}

static bool check_text(const struct setting *setting, const char *text, struct err *err)
{
	static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
	static const char *const securities[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl", NULL};
	static const char *const mechanisms[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", NULL};

	switch (setting - config_settings) {
	case SETTING_INDEX_log_level:
		return check_word(text, levels, err);
	case SETTING_INDEX_log_trace:
		return check_trace(text, err);
	case SETTING_INDEX_kafka_security:
		return check_word(text, securities, err);
	case SETTING_INDEX_kafka_sasl_mechanism:
		return check_word(text, mechanisms, err);
	case SETTING_INDEX_postgres_dsn:
		return check_dsn(text, err);
	default:
		return true;
	}
}

/* The usual mistake is the secret itself in place of the file's name. */
static bool check_secret_path(const char *text, struct err *err)
{
	static const char *const shapes[] = {"whsec_", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "wp_"};

	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		if (strstr(text, shapes[i]) != NULL && strchr(text, '/') == NULL)
			return err_set(err, ERR_INVALID, "this is a secret; give the name of a file that holds it");
	}
	return true;
}

bool config_value_check(const struct setting *setting, const char *text, struct err *err)
{
	int64_t number;

	switch (setting->type) {
	case SETTING_TEXT:
		return check_text(setting, text, err);
	case SETTING_SECRET_FILE:
	case SETTING_SECRET_FILES:
		return check_secret_path(text, err);
	case SETTING_INT:
		if (!config_value_number(setting, text, &number))
			return err_set(err, ERR_INVALID, SHOWN " is not a whole number", text);
		if (number < setting->min || number > setting->max)
			return err_set(err, ERR_INVALID, "%" PRId64 " is not between %" PRId64 " and %" PRId64, number,
				       setting->min, setting->max);
		return true;
	case SETTING_BOOL:
		if (config_value_number(setting, text, &number))
			return true;
		return err_set(err, ERR_INVALID, SHOWN " is neither true nor false", text);
	case SETTING_ENVIRONMENT:
		if (config_value_number(setting, text, &number))
			return true;
		return err_set(err, ERR_INVALID, SHOWN " is not production, staging or development", text);
	}
	abort(); /* not a type of the table */
}

const char *config_value_text(const struct config *config, const struct setting *setting,
			      char number[CONFIG_NUMBER_BYTES])
{
	const void *field = (const char *)config + setting->offset;

	switch (setting->type) {
	case SETTING_TEXT:
	case SETTING_SECRET_FILE:
	case SETTING_SECRET_FILES:
		return *(char *const *)field;
	case SETTING_INT:
		return config_number_text(setting, *(const int64_t *)field, number);
	case SETTING_BOOL:
		return config_number_text(setting, *(const bool *)field, number);
	case SETTING_ENVIRONMENT:
		return config_number_text(setting, (int64_t) * (const enum environment *)field, number);
	}
	abort(); /* not a type of the table */
}
