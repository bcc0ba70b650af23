#include "ingress/problem.h"

#include <assert.h>
#include <stdio.h>

struct row {
	const char *code;
	const char *title;
	int status; /* the engine's own code for this status; 0: routes use it */
};

static const struct row TABLE[] = {
	{"bad_request", "The request is not valid HTTP", 400},
	{"signature_invalid", "The signature is not valid", 0},
	{"json_invalid", "The body is not JSON", 0},
	{"event_invalid", "The event is not valid", 0},
	{"secret_refused", "The text holds a secret", 0},
	{"card_data_refused", "The text holds card data", 0},
	{"unauthorized", "The token is missing or not valid", 401},
	{"agent_paused", "The agent is paused", 0},
	{"account_suspended", "The account is suspended", 0},
	{"not_found", "There is nothing here", 404},
	{"method_not_allowed", "The method is not allowed here", 405},
	{"request_timeout", "The request took too long to arrive", 408},
	{"body_too_large", "The body is too large", 413},
	{"target_too_long", "The request target is too long", 414},
	{"expectation_failed", "The expectation is not known", 417},
	{"rate_limited", "Too many requests", 429},
	{"head_too_large", "The request head is too large", 431},
	{"internal", "Something went wrong here", 500},
	{"method_unknown", "The method is not known", 501},
	{"unavailable", "Not available now; try again later", 503},
	{"version_unsupported", "Only HTTP/1.0 and HTTP/1.1 are spoken here", 505},
};

static const struct row *find(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(TABLE); i++) {
		if (strcmp(TABLE[i].code, code) == 0)
			return &TABLE[i];
	}
	return NULL;
}

const char *problem_code(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(TABLE); i++) {
		if (TABLE[i].status == status)
			return TABLE[i].code;
	}
	return "bad_request";
}

const char *problem_table(size_t at, const char **title)
{
	if (at >= ARRAY_LEN(TABLE))
		return NULL;
	*title = TABLE[at].title;
	return TABLE[at].code;
}

/* Text being written into a fixed buffer; what does not fit is left out whole. */
struct text {
	char *out;
	size_t len;
	size_t cap;
};

/* The closing brace always fits: its byte is kept back. */
static bool put(struct text *text, const char *bytes, size_t len)
{
	if (len > text->cap - 1 - text->len)
		return false;
	memcpy(text->out + text->len, bytes, len);
	text->len += len;
	return true;
}

static bool put_escaped(struct text *text, const char *value)
{
	for (const char *at = value; *at != '\0'; at++) {
		uint8_t byte = (uint8_t)*at;
		char escape[8];
		int len = 1;
		escape[0] = *at;
		if (byte == '"' || byte == '\\')
			len = snprintf(escape, sizeof(escape), "\\%c", byte);
		else if (byte < 0x20 || byte == 0x7f)
			len = snprintf(escape, sizeof(escape), "\\u%04x", byte);
		if (!put(text, escape, (size_t)len))
			return false;
	}
	return true;
}

/* ,"name":"value" or nothing. */
static void put_member(struct text *text, const char *name, const char *value)
{
	struct text before = *text;
	if (value == NULL)
		return;
	if (!put(text, ",\"", 2) || !put(text, name, strlen(name)) || !put(text, "\":\"", 3) ||
	    !put_escaped(text, value) || !put(text, "\"", 1))
		*text = before;
}

size_t problem_write(const struct problem *problem, const char *request_id, char out[PROBLEM_BODY_BYTES])
{
	const struct row *row = find(problem->code);
	assert(row != NULL && problem->status >= 400);
	struct text text = {.out = out, .cap = PROBLEM_BODY_BYTES};
	int len = snprintf(out, PROBLEM_BODY_BYTES / 2,
			   "{\"type\":\"https://watchpost.systems/problems/%s\",\"title\":\"%s\",\"status\":%d",
			   row->code, row->title, problem->status);
	assert(len > 0 && len < PROBLEM_BODY_BYTES / 2);
	text.len = (size_t)len;
	put_member(&text, "code", row->code);
	put_member(&text, "request_id", request_id);
	put_member(&text, "field", problem->field);
	put_member(&text, "detail", problem->detail);
	out[text.len++] = '}';
	return text.len;
}
