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

static enum route_match find(enum http_method method, const char *path, const struct route **route,
			     char allow[ROUTE_ALLOW_BYTES])
{
	static struct http_head head;

	head.method = method;
	head.path = bytes_of(path);
	*route = NULL;
	return route_find(&head, route, allow);
}

/* The row of this method and path, looked for in another way. */
static const struct route *row_of(enum http_method method, const char *path)
{
	size_t count;
	const struct route *table = route_table(&count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(table[i].path, path) == 0 &&
		    (table[i].method == method || (table[i].method == HTTP_GET && method == HTTP_HEAD)))
			return &table[i];
	return NULL;
}

/* Why: RFC 9110 wants every method of a path in Allow. How: a path of one row, one of GET, and one of two rows. */
static void allow_names_every_method(void **state)
{
	(void)state;
	const struct route *route;
	char allow[ROUTE_ALLOW_BYTES];

	assert_int_equal(find(HTTP_PUT, "/webhooks/stripe", &route, allow), ROUTE_NO_METHOD);
	assert_string_equal(allow, "POST");
	assert_int_equal(find(HTTP_POST, "/security", &route, allow), ROUTE_NO_METHOD);
	assert_string_equal(allow, "GET, HEAD");
	assert_int_equal(find(HTTP_POST, "/v1/agent", &route, allow), ROUTE_NO_METHOD);
	assert_string_equal(allow, "GET, HEAD, DELETE");
}

/* Why: every row must be reachable, by its method alone (GET by HEAD too), and a wrong method must be told which are
 * right. How: each row with each method. */
static void every_row_is_found(void **state)
{
	(void)state;
	size_t count;
	const struct route *table = route_table(&count);
	const struct route *route;
	char allow[ROUTE_ALLOW_BYTES];

	assert_true(count > 0);
	for (size_t i = 0; i < count; i++) {
		for (int m = 0; m < HTTP_METHOD_COUNT; m++) {
			const struct route *row = row_of((enum http_method)m, table[i].path);
			enum route_match match = find((enum http_method)m, table[i].path, &route, allow);
			assert_int_equal(match, row != NULL ? ROUTE_FOUND : ROUTE_NO_METHOD);
			assert_ptr_equal(route, row);
			if (row == NULL)
				assert_non_null(strstr(allow, http_method_name(table[i].method)));
		}
	}
}

/* Why: paths are exact; a prefix or another case is another path. How: each row's path changed a little. */
static void paths_are_exact(void **state)
{
	(void)state;
	static const char *const OTHERS[] = {"/",
					     "/webhooks/stripe/",
					     "/webhooks",
					     "/Webhooks/stripe",
					     "//webhooks/stripe",
					     "/security/",
					     "/.well-known/security.txt.",
					     "/webhooks/stripeX",
					     "/v1/agents",
					     "/v1/event"};
	const struct route *route;
	char allow[ROUTE_ALLOW_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++)
		assert_int_equal(find(HTTP_GET, OTHERS[i], &route, allow), ROUTE_NO_PATH);
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
		cmocka_unit_test(allow_names_every_method),
		cmocka_unit_test(paths_are_exact),
		cmocka_unit_test(names_are_unique_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
