#include "ingress/net/body.h"

#include <assert.h>

/* In the order in which a body goes through them. */
enum state {
	SIZE,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_START,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	DONE
};

void http_chunked_init(struct http_chunked *chunked, size_t body_bytes_max)
{
	*chunked = (struct http_chunked){.state = SIZE, .total_bytes_max = body_bytes_max};
}

static enum http_body_result bad(struct http_chunked *c, const char *reason)
{
	c->reason = reason;
	return HTTP_BODY_BAD;
}

static int hex_value(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if (byte >= 'a' && byte <= 'f')
		return byte - 'a' + 10;
	return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* RFC 9110 tchar. */
static bool is_token(uint8_t byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static enum http_body_result on_size(struct http_chunked *c, uint8_t byte)
{
	int value = hex_value(byte);
	if (value >= 0) {
		/* A size over the limit is refused at the digit that passes it, so it cannot overflow. */
		c->size_seen = true;
		c->left_bytes = c->left_bytes * 16 + (uint64_t)value;
		return c->left_bytes > c->total_bytes_max - c->total_bytes ? HTTP_BODY_TOO_LARGE : HTTP_BODY_MORE;
	}
	if (!c->size_seen || (byte != '\r' && byte != ';'))
		return bad(c, "chunk_size_malformed");
	c->state = byte == '\r' ? SIZE_LF : EXTENSION;
	return HTTP_BODY_MORE;
}

static enum http_body_result on_extension(struct http_chunked *c, uint8_t byte)
{
	if (byte == '\r')
		c->state = SIZE_LF;
	else if (byte != '\t' && (byte < 0x20 || byte > 0x7e))
		return bad(c, "chunk_extension_malformed");
	return HTTP_BODY_MORE;
}

static void on_size_end(struct http_chunked *c)
{
	c->total_bytes += (size_t)c->left_bytes;
	assert(c->total_bytes <= c->total_bytes_max);
	c->state = c->left_bytes > 0 ? DATA : TRAILER_START;
	c->size_seen = false;
	c->line_bytes = 0;
}

static enum http_body_result on_chunk_line(struct http_chunked *c, uint8_t byte)
{
	if (++c->line_bytes > HTTP_CHUNK_LINE_BYTES_MAX)
		return bad(c, "chunk_line_long");
	if (c->state == SIZE)
		return on_size(c, byte);
	if (c->state == EXTENSION)
		return on_extension(c, byte);
	if (byte != '\n')
		return bad(c, "chunk_line_malformed");
	on_size_end(c);
	return HTTP_BODY_MORE;
}

static enum http_body_result on_data_end(struct http_chunked *c, uint8_t byte)
{
	if (byte != (c->state == DATA_CR ? '\r' : '\n'))
		return bad(c, "chunk_data_malformed");
	c->state = c->state == DATA_CR ? DATA_LF : SIZE;
	return HTTP_BODY_MORE;
}

static enum http_body_result on_trailer(struct http_chunked *c, uint8_t byte)
{
	enum state next = (enum state)c->state;
	bool good = true;
	if (++c->trailer_bytes > HTTP_TRAILER_BYTES_MAX)
		return bad(c, "trailers_large");
	switch (c->state) {
	case TRAILER_START:
		good = byte == '\r' || is_token(byte);
		next = byte == '\r' ? END_LF : TRAILER_NAME;
		break;
	case TRAILER_NAME:
		good = byte == ':' || is_token(byte);
		next = byte == ':' ? TRAILER_VALUE : TRAILER_NAME;
		break;
	case TRAILER_VALUE:
		good = byte == '\r' || byte == '\t' || (byte >= 0x20 && byte != 0x7f);
		next = byte == '\r' ? TRAILER_LF : TRAILER_VALUE;
		break;
	default:
		assert(c->state == TRAILER_LF || c->state == END_LF);
		good = byte == '\n';
		next = c->state == TRAILER_LF ? TRAILER_START : DONE;
		break;
	}
	if (!good)
		return bad(c, "trailer_malformed");
	c->state = (uint8_t)next;
	return next == DONE ? HTTP_BODY_DONE : HTTP_BODY_MORE;
}

enum http_body_result http_chunked_decode(struct http_chunked *chunked, struct bytes in, uint8_t *out, size_t *used,
					  size_t *written)
{
	enum http_body_result result = HTTP_BODY_MORE;
	size_t at = 0;
	size_t put = 0;
	assert(chunked->state != DONE && chunked->reason == NULL);
	while (at < in.len && result == HTTP_BODY_MORE) {
		if (chunked->state == DATA) {
			size_t run = in.len - at < chunked->left_bytes ? in.len - at : (size_t)chunked->left_bytes;
			memmove(out + put, in.data + at, run);
			at += run;
			put += run;
			chunked->left_bytes -= run;
			if (chunked->left_bytes == 0)
				chunked->state = DATA_CR;
			continue;
		}
		uint8_t byte = in.data[at++];
		if (chunked->state < DATA)
			result = on_chunk_line(chunked, byte);
		else if (chunked->state < TRAILER_START)
			result = on_data_end(chunked, byte);
		else
			result = on_trailer(chunked, byte);
	}
	assert(at <= in.len && put <= at);
	*used = at;
	*written = put;
	return result;
}
