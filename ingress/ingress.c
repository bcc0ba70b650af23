#include "ingress/ingress.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/event.h"
#include "common/log.h"
#include "common/notify.h"
#include "ingress/auth/auth.h"
#include "ingress/counters.h"
#include "ingress/health.h"
#include "ingress/loop.h"
#include "ingress/net/admission.h"
#include "ingress/net/tickets.h"
#include "ingress/rate.h"

enum { LOOPS_MAX = 256, SOURCE_BYTES_MAX = 96, PUBLISHER_STOP_MS = 1000 };

/* One running process, for main's thread alone. */
struct process {
	struct ingress ingress;
	char source[SOURCE_BYTES_MAX];
	struct loop *loops[LOOPS_MAX];
	size_t loop_count;
	struct health *health;
	sigset_t signals;
};

/* In the order in which they happen. */
static void block_signals(struct process *process);
static void do_not_preempt(void);
static bool make_shared(struct process *process, struct config *config, struct err *err);
static void raise_descriptors(int64_t connections_max);
static bool start_loops(struct process *process, struct err *err);
static void serve_signals(struct process *process);
static void reload(struct process *process);
static void stop(struct process *process);

struct settings *ingress_settings(struct ingress *ingress)
{
	pthread_mutex_lock(&ingress->settings_lock);
	struct settings *settings = ingress->settings;
	settings_hold(settings);
	pthread_mutex_unlock(&ingress->settings_lock);
	return settings;
}

int ingress_run(struct config *config)
{
	static struct process process; /* one per program */
	struct err err;
	int status = 0;
	block_signals(&process);
	do_not_preempt();
	if (!make_shared(&process, config, &err) || !start_loops(&process, &err)) {
		LOG(ERROR, "start_failed", F_ERR(&err));
		status = err_exit_status(err.code);
		goto out;
	}
	process.health = health_start(&process.ingress, process.loops, process.loop_count, &err);
	if (process.health == NULL) {
		LOG(ERROR, "start_failed", F_ERR(&err));
		status = err_exit_status(err.code);
		goto out;
	}
	LOG(INFO, "started", F_TEXT("version", WATCHPOST_VERSION), F_I64("port", process.ingress.public_port),
	    F_I64("admin_port", health_port(process.health)), F_U64("loops", process.loop_count),
	    F_TEXT("environment", environment_name(config->environment)), F_BOOL("tls", config->tls));
	notify_send("READY=1");
	serve_signals(&process);
	LOG(INFO, "stopping");
	notify_send("STOPPING=1");
out:
	stop(&process);
	LOG(INFO, "stopped", F_I64("status", status));
	return status;
}

/* Before any thread is started, so that all of them inherit it: signals are taken by sigtimedwait alone. */
static void block_signals(struct process *process)
{
	static const int TAKEN[] = {SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
	sigemptyset(&process->signals);
	for (size_t i = 0; i < ARRAY_LEN(TAKEN); i++)
		sigaddset(&process->signals, TAKEN[i]);
	(void)pthread_sigmask(SIG_BLOCK, &process->signals, NULL);
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

/* sched(7): a thread of SCHED_BATCH that is woken does not interrupt the one that runs. On a busy machine more is there
 * when its turn comes, so that a turn of a loop and a request to a broker hold more; on an idle core nothing changes.
 * The threads that are started from here on, librdkafka's too, inherit it. Where it is refused, all works without. */
static void do_not_preempt(void)
{
	const struct sched_param none = {.sched_priority = 0};
	(void)sched_setscheduler(0, SCHED_BATCH, &none);
}

static size_t core_count(void)
{
	cpu_set_t cores;
	if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
		return 1;
	int count = CPU_COUNT(&cores);
	return count > LOOPS_MAX ? LOOPS_MAX : (size_t)count;
}

static size_t loop_count(const struct config *config)
{
	return config->loops > 0 ? (size_t)config->loops : core_count();
}

static bool make_shared(struct process *process, struct config *config, struct err *err)
{
	struct ingress *ingress = &process->ingress;
	ingress->clock = clock_system();
	ingress->source = process->source;
	event_source_name(config->environment, "ingress", process->source, sizeof(process->source));
	event_topic_name(EVENT_TOPIC_STRIPE, config->environment, ingress->stripe_topic);
	event_topic_name(EVENT_TOPIC_AGENT, config->environment, ingress->agent_topic);
	pthread_mutex_init(&ingress->settings_lock, NULL);
	ingress->tickets = tickets_new(ingress->clock, err);
	if (ingress->tickets == NULL) {
		config_free(config);
		return false;
	}
	ingress->settings = settings_new(config, ingress->tickets, err);
	if (ingress->settings == NULL)
		return false;
	if (!net_blocks_parse(config->proxy_protocol_from, &ingress->balancers, err))
		return err_context(err, "proxy_protocol_from");
	ingress->admission = admission_new((size_t)config->connections_max, err);
	ingress->webhook_rate = rate_table_new(err);
	if (ingress->admission == NULL || ingress->webhook_rate == NULL || !counters_open(err))
		return false;
	raise_descriptors(config->connections_max);
	ingress->publisher = publisher_start(config, err);
	if (ingress->publisher == NULL)
		return false;
	if (!config->agents) {
		LOG(INFO, "agents_off");
		return true;
	}
	ingress->auth = auth_start(ingress->settings, loop_count(config), err);
	return ingress->auth != NULL;
}

/* As many descriptors as connections_max needs, as far as the hard limit lets us. */
static void raise_descriptors(int64_t connections_max)
{
	rlim_t wanted = (rlim_t)connections_max + DESCRIPTORS_BESIDE_CONNECTIONS;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
		LOG(WARN, "descriptors_limited", F_U64("wanted", wanted), F_U64("have", limit.rlim_cur));
}

static bool start_loops(struct process *process, struct err *err)
{
	const struct config *config = process->ingress.settings->config;
	size_t count = loop_count(config);
	int port = (int)config->listen_port;
	assert(count > 0 && count <= LOOPS_MAX);
	/* All listen before one serves: the kernel spreads connections over the sockets that are there. */
	while (process->loop_count < count) {
		struct loop *loop = loop_new(&process->ingress, process->loop_count, &port, err);
		if (loop == NULL)
			return false;
		process->loops[process->loop_count++] = loop;
	}
	process->ingress.public_port = port;
	for (size_t i = 0; i < count; i++) {
		if (!loop_start(process->loops[i], err))
			return false;
	}
	return true;
}

/* SIGUSR1: one level more of log; SIGUSR2: one less. */
static void move_log_level(int by)
{
	int level = (int)log_get_level() + by;
	if (level < LOG_LEVEL_ERROR || level > LOG_LEVEL_DEBUG)
		return;
	log_set_level((enum log_level)level);
	LOG(WARN, "log_level_changed", F_I64("level", level));
}

static void serve_signals(struct process *process)
{
	const struct timespec second = {.tv_sec = 1};
	for (;;) {
		switch (sigtimedwait(&process->signals, NULL, &second)) {
		case SIGTERM:
		case SIGINT:
			return;
		case SIGHUP:
			reload(process);
			break;
		case SIGUSR1:
			move_log_level(1);
			break;
		case SIGUSR2:
			move_log_level(-1);
			break;
		default:
			break;
		}
		health_look(process->health);
		if (health_alive(process->health))
			notify_send("WATCHDOG=1");
	}
}

/* What the new settings say about the log is done first: what follows is logged where the operator now looks. */
static bool reload_log(const struct config *config, struct err *err)
{
	enum log_level level;
	uint32_t topics;
	if (!log_level_parse(config->log_level, &level) || !log_topics_parse(config->log_trace, &topics))
		return err_set(err, ERR_INVALID, "log_level or log_trace is not known");
	if (!log_reopen(err))
		return false;
	log_set_level(level);
	log_set_topics(topics);
	return true;
}

/* All or nothing: a fault leaves the settings as they were. */
static void reload(struct process *process)
{
	struct ingress *ingress = &process->ingress;
	struct err err;
	struct settings *before = ingress->settings;
	notify_send("RELOADING=1");
	struct config *config = config_reload(before->config, &err);
	struct settings *after = config != NULL ? settings_new(config, ingress->tickets, &err) : NULL;
	if (after == NULL || !reload_log(after->config, &err)) {
		settings_release(after);
		LOG(ERROR, "reload_failed", F_ERR(&err));
		notify_send("READY=1");
		return;
	}
	pthread_mutex_lock(&ingress->settings_lock);
	ingress->settings = after;
	pthread_mutex_unlock(&ingress->settings_lock);
	settings_release(before);
	if (ingress->auth != NULL)
		auth_reload(ingress->auth, after);
	for (size_t i = 0; i < process->loop_count; i++)
		loop_command(process->loops[i], LOOP_RELOAD);
	LOG(INFO, "reloaded");
	notify_send("READY=1");
}

/* Loops first (everybody is answered), then who looks at them, then the publisher (its tickets go back to the loops),
 * then the loops' memory. */
static void stop(struct process *process)
{
	struct ingress *ingress = &process->ingress;
	if (process->health != NULL)
		health_drain(process->health);
	for (size_t i = 0; i < process->loop_count; i++)
		loop_command(process->loops[i], LOOP_DRAIN);
	for (size_t i = 0; i < process->loop_count; i++)
		loop_join(process->loops[i]);
	health_stop(process->health);
	publisher_stop(ingress->publisher, PUBLISHER_STOP_MS);
	for (size_t i = 0; i < process->loop_count; i++)
		loop_free(process->loops[i]);
	auth_stop(ingress->auth);
	counters_close();
	rate_table_free(ingress->webhook_rate);
	admission_free(ingress->admission);
	settings_release(ingress->settings);
	tickets_free(ingress->tickets);
	pthread_mutex_destroy(&ingress->settings_lock);
}
