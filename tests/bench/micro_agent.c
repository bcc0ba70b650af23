/*
 * What W5 costs for one report of an agent, without HTTP and Kafka: reading it, and the check of its text. Nanoseconds
 * of one core, the least of several rounds.
 *
 * make bench-programs && build/bench/micro_agent
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/free_text.h"
#include "ingress/agent/report.h"
#include "tests/bench/micro.h"

enum { ROUNDS = 9, TIMES = 20000 };
static const int64_t NOW_MS = 1769000000000;

/* About 250 characters, as a model writes them. */
#define TEXT                                                                                                           \
	"Bought two train tickets from Hamburg to Vienna for the conference on 14 March, second class, with seats by " \
	"the window: order 2041-77, invoice sent to the office. The night train was sold out, hence the early one at " \
	"06:28; cancellation is free until a day before."
static const char REPORT[] = "{\"type\":\"purchase.completed\",\"id\":\"order-2041-77\","
			     "\"occurred_at\":\"2026-01-21T12:00:00Z\",\"amount\":23980,\"currency\":\"eur\","
			     "\"text\":\"" TEXT "\"}";

static double ns_of(void (*step)(void))
{
	double least = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		int64_t began = micro_cpu_ns();
		for (int i = 0; i < TIMES; i++)
			step();
		double each = (double)(micro_cpu_ns() - began) / TIMES;
		least = each < least ? each : least;
	}
	return least;
}

static void check_text(void)
{
	if (free_text_check(bytes_of(TEXT)) != FREE_TEXT_FINE)
		abort();
}

static void read_report(void)
{
	static struct agent_reports reports;
	struct agent_fault fault;

	if (!agent_reports_read(bytes_of(REPORT), NOW_MS, &reports, &fault))
		abort();
}

int main(void)
{
	printf("agent report, %zu bytes: read and checked %.0f ns; of these its text's %zu bytes %.0f ns\n",
	       sizeof(REPORT) - 1, ns_of(read_report), sizeof(TEXT) - 1, ns_of(check_text));
	return 0;
}
