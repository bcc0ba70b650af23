/* watchpost-ingress: the front door. */
#include <stdio.h>

#include "common/config.h"
#include "common/log.h"
#include "common/process.h"
#include "ingress/ingress.h"

static const char PROGRAM[] = "watchpost-ingress";

static bool open_log(const struct config *config, struct err *err)
{
	enum log_level level;
	uint32_t topics;
	if (!log_level_parse(config->log_level, &level))
		return err_set(err, ERR_INVALID, "log_level: \"%s\" is not a level", config->log_level);
	if (!log_topics_parse(config->log_trace, &topics))
		return err_set(err, ERR_INVALID, "log_trace: \"%s\" is not a list of topics", config->log_trace);
	log_set_topics(topics);
	return log_open(PROGRAM, config->log_file, level, err);
}

int main(int argc, char **argv)
{
	struct err err;
	int status = 0;
	int rest = 0;
	if (config_answer_flags(CONFIG_INGRESS, argc, argv, "accepts webhooks and agents' requests", &status))
		return status;
	struct config *config = NULL;
	if (!process_harden(&err))
		goto refused;
	config = config_load(CONFIG_INGRESS, argc, argv, &rest, &err);
	if (config == NULL)
		goto refused;
	if (rest < argc) {
		(void)err_set(&err, ERR_INVALID, "unexpected argument \"%s\"", argv[rest]);
		goto refused;
	}
	if (!open_log(config, &err))
		goto refused;
	status = ingress_run(config);
	log_close();
	return status;
refused:
	config_free(config);
	(void)fprintf(stderr, "%s: %s\n", PROGRAM, err.text);
	return err_exit_status(err.code);
}
