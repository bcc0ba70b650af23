/* What agents report: POST /v1/events, each with the next token of a file. */
#include <stdlib.h>
#include <string.h>

#include "tests/load/load.h"

enum { TOKEN_BYTES = 35, TEXT_BYTES_MAX = 900 };

struct load_tokens {
	size_t count;
	char (*text)[TOKEN_BYTES + 1];
};

struct load_tokens *load_tokens_read(const char *path, struct err *err)
{
	struct load_tokens *tokens = calloc(1, sizeof(*tokens));
	FILE *file = fopen(path, "re");
	char line[128];
	if (tokens == NULL || file == NULL)
		goto unreadable;
	while (fgets(line, sizeof(line), file) != NULL && tokens->count < LOAD_TOKENS_MAX) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strlen(line) != TOKEN_BYTES)
			goto unreadable;
		/* Doubled whenever the count is a power of two. */
		if ((tokens->count & (tokens->count - 1)) == 0) {
			size_t room = tokens->count == 0 ? 1 : 2 * tokens->count;
			void *grown = reallocarray(tokens->text, room, sizeof(*tokens->text));
			if (grown == NULL)
				goto unreadable;
			tokens->text = grown;
		}
		memcpy(tokens->text[tokens->count++], line, TOKEN_BYTES + 1);
	}
	if (tokens->count == 0)
		goto unreadable;
	(void)fclose(file);
	return tokens;
unreadable:
	(void)err_set(err, ERR_INVALID, "%s: no file of tokens, one a line", path);
	if (file != NULL)
		(void)fclose(file);
	load_tokens_free(tokens);
	return NULL;
}

void load_tokens_free(struct load_tokens *tokens)
{
	if (tokens == NULL)
		return;
	free(tokens->text);
	free(tokens);
}

/* The text is filled up so that the body has about the size asked for. */
static bool write_body(const struct load_options *options, uint64_t serial, const char *id, struct buf *body)
{
	if (!buf_printf(body,
			"{\"id\":\"%s\",\"type\":\"purchase.completed\",\"occurred_at\":\"2026-01-01T12:00:00Z\","
			"\"amount\":%llu,\"currency\":\"usd\",\"text\":\"",
			id, (unsigned long long)(serial % 9999 + 1)))
		return false;
	size_t wanted = (size_t)options->body_bytes;
	size_t most = body->len + TEXT_BYTES_MAX;
	while (body->len < wanted && body->len < most) {
		if (!buf_append_text(body, "paid as agreed, "))
			return false;
	}
	return buf_append_text(body, "\"}");
}

bool load_agent_event(const struct load_options *options, const struct load_tokens *tokens, uint64_t serial,
		      struct buf *out, char id[LOAD_ID_BYTES])
{
	struct buf body;
	bool made = false;
	buf_init(&body, LOAD_REQUEST_BYTES_MAX);
	(void)snprintf(id, LOAD_ID_BYTES, "%s-%012llu", options->run, (unsigned long long)serial);
	buf_clear(out);
	made = write_body(options, serial, id, &body) &&
	       buf_printf(out,
			  "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
			  "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
			  options->path, tokens->text[serial % tokens->count], body.len) &&
	       buf_append(out, body.data, body.len);
	buf_free(&body);
	return made;
}
