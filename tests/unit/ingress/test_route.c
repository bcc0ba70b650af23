/*
 * W3: the table of routes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/counters.h"
#include "ingress/route.h"

static enum route_match find(enum http_method method, const char *path, const struct route **route, const char **allow)
{
	static struct http_head head;

	head.method = method;
	head.path = bytes_of(path);
	*route = NULL;
	*allow = NULL;
	return route_find(&head, route, allow);
}

/* Why: every row must be reachable, by its method alone (GET by HEAD too), and a wrong method must be told which are
 * right. How: each row with each method. */
static void every_row_is_found(void **state)
{
	(void)state;
	size_t count;
	const struct route *table = route_table(&count);
	const struct route *route;
	const char *allow;

	assert_true(count > 0);
	for (size_t i = 0; i < count; i++) {
		for (int m = 0; m < HTTP_METHOD_COUNT; m++) {
			bool good = (int)table[i].method == m || (table[i].method == HTTP_GET && m == HTTP_HEAD);
			enum route_match match = find((enum http_method)m, table[i].path, &route, &allow);
			assert_int_equal(match, good ? ROUTE_FOUND : ROUTE_NO_METHOD);
			assert_ptr_equal(route, good ? &table[i] : NULL);
			if (!good)
				assert_non_null(strstr(allow, http_method_name(table[i].method)));
		}
	}
}

/* Why: paths are exact; a prefix or another case is another path. How: each row's path changed a little. */
static void paths_are_exact(void **state)
{
	(void)state;
	static const char *const OTHERS[] = {
		"/",          "/webhooks/stripe/",          "/webhooks",        "/Webhooks/stripe", "//webhooks/stripe",
		"/security/", "/.well-known/security.txt.", "/webhooks/stripeX"};
	const struct route *route;
	const char *allow;

	for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++)
		assert_int_equal(find(HTTP_GET, OTHERS[i], &route, &allow), ROUTE_NO_PATH);
}

/* Why: names are label values and log words. How: unique, of small letters, and within what the counters can hold. */
static void names_are_unique_words(void **state)
{
	(void)state;
	size_t count;
	const struct route *table = route_table(&count);

	assert_true(count < COUNTER_ROUTES_MAX);
	for (size_t i = 0; i < count; i++) {
		assert_true(strspn(table[i].name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(table[i].name));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(table[i].name, table[j].name);
		assert_non_null(table[i].handle);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_found),
		cmocka_unit_test(paths_are_exact),
		cmocka_unit_test(names_are_unique_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
