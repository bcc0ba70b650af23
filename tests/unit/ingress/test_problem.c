/*
 * RFC 9457 bodies: always one whole JSON object, whatever the detail holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "ingress/problem.h"

static json_t *body_of(const struct problem *problem)
{
	char text[PROBLEM_BODY_BYTES];
	json_error_t error;
	size_t len = problem_write(problem, "req_01ARZ3NDEKTSV4RRFFQ69G5FAV", text);

	assert_true(len <= sizeof(text));
	json_t *json = json_loadb(text, len, 0, &error);
	assert_non_null(json);
	return json;
}

static void assert_member(const json_t *json, const char *name, const char *value)
{
	const json_t *member = json_object_get(json, name);

	if (value == NULL) {
		assert_null(member);
		return;
	}
	assert_non_null(member);
	assert_string_equal(json_string_value(member), value);
}

/* Why: clients decide by these members. How: a problem with all of them, and one with only what must be there. */
static void members_are_written(void **state)
{
	(void)state;
	json_t *json = body_of(&(struct problem){
		.status = 400, .code = "event_invalid", .detail = "say \"why\"\n\\", .field = "data.object"});

	assert_member(json, "type", "https://watchpost.systems/problems/event_invalid");
	assert_member(json, "title", "The event is not valid");
	assert_int_equal(json_integer_value(json_object_get(json, "status")), 400);
	assert_member(json, "code", "event_invalid");
	assert_member(json, "detail", "say \"why\"\n\\");
	assert_member(json, "field", "data.object");
	assert_member(json, "request_id", "req_01ARZ3NDEKTSV4RRFFQ69G5FAV");
	json_decref(json);
	json = body_of(&(struct problem){.status = 404, .code = "not_found", .reason = "secret reason"});
	assert_member(json, "detail", NULL);
	assert_member(json, "field", NULL);
	assert_int_equal(json_object_size(json), 5);
	json_decref(json);
}

/* Why: a body that is cut is not JSON. How: details of every length around the bound, of bytes that need escapes. */
static void long_details_are_left_out_whole(void **state)
{
	(void)state;
	char detail[2 * PROBLEM_BODY_BYTES_MAX];

	for (size_t len = 0; len < sizeof(detail); len++) {
		memset(detail, len % 3 == 0 ? '\x01' : '"', len);
		detail[len] = '\0';
		json_t *json = body_of(
			&(struct problem){.status = 503, .code = "unavailable", .detail = detail, .field = "x"});
		const json_t *member = json_object_get(json, "detail");
		if (member != NULL)
			assert_int_equal(json_string_length(member), len);
		assert_member(json, "field", "x");
		json_decref(json);
	}
}

/* Why: the engine picks a code by the status it answers with; a missing one would be a wrong word. How: every status
 * that it refuses with has its own code, and every code its title. */
static void codes_are_complete(void **state)
{
	(void)state;
	static const int OWN[] = {400, 404, 405, 408, 413, 414, 417, 429, 431, 500, 501, 503, 505};
	const char *title = NULL;

	for (size_t i = 0; i < ARRAY_LEN(OWN); i++) {
		assert_true(OWN[i] == 400 || strcmp(problem_code(OWN[i]), "bad_request") != 0);
		json_decref(body_of(&(struct problem){.status = OWN[i], .code = problem_code(OWN[i])}));
	}
	for (size_t at = 0; problem_table(at, &title) != NULL; at++)
		assert_true(title != NULL && title[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_written),
		cmocka_unit_test(long_details_are_left_out_whole),
		cmocka_unit_test(codes_are_complete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
