#include "workers/runtime/program.h"

#include <signal.h>
#include <stdio.h>

#include "common/log.h"
#include "common/process.h"

static volatile sig_atomic_t stop_asked;
static volatile sig_atomic_t reload_asked;

static void on_signal(int number)
{
	if (number == SIGHUP)
		reload_asked = 1;
	else
		stop_asked = 1;
}

static void signals_install(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	action.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &action, NULL);
}

bool program_stopping(void)
{
	return stop_asked != 0;
}

bool program_reload_asked(void)
{
	bool asked = reload_asked != 0;
	reload_asked = 0;
	return asked;
}

struct config *program_reload(const struct config *before)
{
	struct err err;
	struct config *fresh = config_reload(before, &err);
	enum log_level level;
	uint32_t topics;
	if (fresh == NULL) {
		LOG(ERROR, "reload_refused", F_ERR(&err));
		return NULL;
	}
	if (log_level_parse(fresh->log_level, &level))
		log_set_level(level);
	if (log_topics_parse(fresh->log_trace, &topics))
		log_set_topics(topics);
	if (!log_reopen(&err))
		LOG(ERROR, "log_reopen_failed", F_ERR(&err));
	return fresh;
}

int program_main(const struct program *program, int argc, char **argv)
{
	/* The log keeps the pointer to its program's name. */
	static char name[64];
	struct err err;
	enum log_level level = LOG_LEVEL_INFO;
	uint32_t topics = 0;
	int status, rest;
	(void)snprintf(name, sizeof(name), "watchpost-%s", program->name);
	if (config_answer_flags(program->config, argc, argv, program->summary, &status))
		return status;
	struct config *config = NULL;
	if (!process_harden(&err))
		goto refused;
	config = config_load(program->config, argc, argv, &rest, &err);
	if (config == NULL)
		goto refused;
	if (rest < argc) {
		(void)err_set(&err, ERR_INVALID, "unexpected argument: %s", argv[rest]);
		goto refused;
	}
	if (!log_level_parse(config->log_level, &level) || !log_topics_parse(config->log_trace, &topics)) {
		(void)err_set(&err, ERR_INVALID, "log_level or log_trace names nothing that exists");
		goto refused;
	}
	if (!log_open(name, config->log_file, level, &err))
		goto refused;
	log_set_topics(topics);
	signals_install();
	status = program->run(program, config, name);
	log_close();
	return status;
refused:
	(void)fprintf(stderr, "%s: %s\n", name, err.text);
	config_free(config);
	return 2;
}
