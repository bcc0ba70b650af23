#include "ingress/net/head.h"

#include <assert.h>

/* A parse in progress: where it stands and what it found wrong. */
struct parser {
	const uint8_t *at;
	const uint8_t *end; /* behind the CRLF CRLF */
	struct http_head *head;
	int status;
	const char *reason;
};

enum {
	TOKEN = 1u << 0, /* RFC 9110 tchar */
	PATH = 1u << 1,  /* RFC 3986 pchar and '/', without '%' */
	QUERY = 1u << 2, /* PATH and '?' */
	HOST = 1u << 3,  /* letters, digits, '-', '.', '_': no host has more, though RFC 3986 would let it */
	FIELD = 1u << 4, /* field-vchar, SP and HTAB */
	DIGIT = 1u << 5
};

#define TARGET (PATH | QUERY | FIELD)
/* clang-format off */
static const uint8_t CLASS[256] = {
	['0' ... '9'] = TARGET | TOKEN | HOST | DIGIT,
	['a' ... 'z'] = TARGET | TOKEN | HOST, ['A' ... 'Z'] = TARGET | TOKEN | HOST,
	['-'] = TARGET | TOKEN | HOST, ['.'] = TARGET | TOKEN | HOST, ['_'] = TARGET | TOKEN | HOST,
	['~'] = TARGET | TOKEN, ['!'] = TARGET | TOKEN, ['$'] = TARGET | TOKEN, ['&'] = TARGET | TOKEN,
	['\''] = TARGET | TOKEN, ['*'] = TARGET | TOKEN, ['+'] = TARGET | TOKEN,
	['('] = TARGET, [')'] = TARGET, [','] = TARGET, [';'] = TARGET, ['='] = TARGET, [':'] = TARGET, ['@'] = TARGET,
	['/'] = TARGET, ['?'] = QUERY | FIELD,
	['#'] = TOKEN | FIELD, ['%'] = TOKEN | FIELD, ['^'] = TOKEN | FIELD, ['`'] = TOKEN | FIELD,
	['|'] = TOKEN | FIELD,
	['"'] = FIELD, ['<'] = FIELD, ['>'] = FIELD, ['['] = FIELD, [']'] = FIELD, ['\\'] = FIELD, ['{'] = FIELD,
	['}'] = FIELD, [' '] = FIELD, ['\t'] = FIELD, [0x80 ... 0xff] = FIELD,
};
/* clang-format on */

static const char *const METHODS[] = {
	[HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
	[HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
};
_Static_assert(ARRAY_LEN(METHODS) == HTTP_METHOD_COUNT, "every method has a name");

static bool refuse(struct parser *p, int status, const char *reason)
{
	assert(p->status == 0 && status >= 400);
	p->status = status;
	p->reason = reason;
	return false;
}

static inline bool is(uint8_t byte, unsigned class)
{
	return (CLASS[byte] & class) != 0;
}

static bool all(struct bytes text, unsigned class)
{
	for (size_t i = 0; i < text.len; i++) {
		if (!is(text.data[i], class))
			return false;
	}
	return true;
}

static uint8_t lower(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static int hex_value(uint8_t byte)
{
	if (is(byte, DIGIT))
		return byte - '0';
	byte = lower(byte);
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

bool http_name_is(struct bytes name, const char *lower_case_name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (lower_case_name[i] == '\0' || lower(name.data[i]) != (uint8_t)lower_case_name[i])
			return false;
	}
	return lower_case_name[name.len] == '\0';
}

const struct http_header *http_head_find(const struct http_head *head, const char *lower_case_name, bool *many)
{
	const struct http_header *found = NULL;
	size_t count = 0;
	for (size_t i = 0; i < head->header_count; i++) {
		if (http_name_is(head->headers[i].name, lower_case_name)) {
			found = &head->headers[i];
			count++;
		}
	}
	if (many != NULL)
		*many = count > 1;
	return count == 1 ? found : NULL;
}

const char *http_method_name(enum http_method method)
{
	assert(method < HTTP_METHOD_COUNT);
	return METHODS[method];
}

void http_head_rebase(struct http_head *head, const uint8_t *from, const uint8_t *to)
{
	struct bytes *target[] = {&head->path, &head->query};
	for (size_t i = 0; i < ARRAY_LEN(target); i++) {
		if (target[i]->data != NULL)
			target[i]->data = to + (target[i]->data - from);
	}
	for (size_t i = 0; i < head->header_count; i++) {
		struct http_header *h = &head->headers[i];
		h->name.data = to + (h->name.data - from);
		h->value.data = to + (h->value.data - from);
	}
}

/* --- where the head ends -------------------------------------------------------------------------- */

enum scan { SCAN_PARTIAL, SCAN_END, SCAN_BARE_LF, SCAN_NO_METHOD, SCAN_LONG };

/* Looks at each byte once whatever the number of calls, and only in order, so that the verdict is the same however
 * the text was cut. `*scanned` is the first byte not looked at yet. */
static enum scan find_end(struct bytes text, size_t *scanned, size_t *used)
{
	size_t limit = text.len < HTTP_HEAD_BYTES_MAX ? text.len : HTTP_HEAD_BYTES_MAX;
	assert(*scanned <= text.len);
	if (text.len > 0 && !is(text.data[0], TOKEN))
		return SCAN_NO_METHOD;
	while (*scanned < limit) {
		const uint8_t *from = text.data + *scanned;
		const uint8_t *lf = memchr(from, '\n', limit - *scanned);
		if (lf == NULL)
			break;
		size_t at = (size_t)(lf - text.data);
		*scanned = at + 1;
		if (at == 0 || text.data[at - 1] != '\r')
			return SCAN_BARE_LF;
		if (at >= 3 && text.data[at - 2] == '\n') {
			*used = at + 1;
			return SCAN_END;
		}
	}
	*scanned = limit;
	return text.len >= HTTP_HEAD_BYTES_MAX ? SCAN_LONG : SCAN_PARTIAL;
}

/* --- the request line ----------------------------------------------------------------------------- */

/* The bytes up to `stop`, which is passed over; NULL data when the line ends first. */
static struct bytes take_until(struct parser *p, uint8_t stop, const uint8_t *line_end)
{
	const uint8_t *hit = memchr(p->at, stop, (size_t)(line_end - p->at));
	if (hit == NULL)
		return bytes_make(NULL, 0);
	struct bytes word = bytes_make(p->at, (size_t)(hit - p->at));
	p->at = hit + 1;
	return word;
}

static bool parse_method(struct parser *p, struct bytes word)
{
	if (word.len == 0 || !all(word, TOKEN))
		return refuse(p, 400, "method_malformed");
	for (size_t i = 0; i < ARRAY_LEN(METHODS); i++) {
		if (bytes_equal_text(word, METHODS[i])) {
			p->head->method = (enum http_method)i;
			return true;
		}
	}
	return refuse(p, 501, "method_unknown");
}

static bool parse_version(struct parser *p, struct bytes word)
{
	if (word.len != 8 || memcmp(word.data, "HTTP/", 5) != 0 || !is(word.data[5], DIGIT) || word.data[6] != '.' ||
	    !is(word.data[7], DIGIT))
		return refuse(p, 400, "version_malformed");
	if (word.data[5] != '1' || word.data[7] > '1')
		return refuse(p, 505, "version_unsupported");
	p->head->version_minor = word.data[7] - '0';
	return true;
}

/* Percent-encodings that would make two readers see two paths are refused; so is what is not hex. */
static bool parse_escapes(struct parser *p, struct bytes text, bool path)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] != '%')
			continue;
		if (i + 2 >= text.len || hex_value(text.data[i + 1]) < 0 || hex_value(text.data[i + 2]) < 0)
			return refuse(p, 400, "target_malformed");
		int value = hex_value(text.data[i + 1]) * 16 + hex_value(text.data[i + 2]);
		if (value == 0 || (path && (value == '/' || value == '\\' || value == '.')))
			return refuse(p, 400, "target_ambiguous");
		i += 2;
	}
	return true;
}

static bool has_dot_segment(struct bytes path)
{
	size_t start = 0;
	for (size_t i = 0; i <= path.len; i++) {
		if (i < path.len && path.data[i] != '/')
			continue;
		size_t len = i - start;
		if ((len == 1 || len == 2) && path.data[start] == '.' && path.data[i - 1] == '.')
			return true;
		start = i + 1;
	}
	return false;
}

static bool parse_target(struct parser *p, struct bytes target)
{
	if (target.len > HTTP_TARGET_BYTES_MAX)
		return refuse(p, 414, "target_long");
	if (target.len == 0 || target.data[0] != '/')
		return refuse(p, 400, "target_form");
	const uint8_t *mark = memchr(target.data, '?', target.len);
	size_t path_len = mark != NULL ? (size_t)(mark - target.data) : target.len;
	struct bytes path = bytes_make(target.data, path_len);
	struct bytes query = mark != NULL ? bytes_make(mark + 1, target.len - path_len - 1) : bytes_make(NULL, 0);
	for (size_t i = 0; i < target.len; i++) {
		if (!is(target.data[i], QUERY) && target.data[i] != '%')
			return refuse(p, 400, "target_malformed");
	}
	if (!parse_escapes(p, path, true) || !parse_escapes(p, query, false))
		return false;
	if (has_dot_segment(path))
		return refuse(p, 400, "target_ambiguous");
	p->head->path = path;
	p->head->query = query;
	return true;
}

/* The line at p->at without its CRLF; a CR elsewhere in it is refused later by the byte classes. */
static const uint8_t *line_end(const struct parser *p)
{
	const uint8_t *lf = memchr(p->at, '\n', (size_t)(p->end - p->at));
	assert(lf != NULL && lf > p->at && lf[-1] == '\r');
	return lf - 1;
}

static bool parse_request_line(struct parser *p)
{
	const uint8_t *end = line_end(p);
	struct bytes method = take_until(p, ' ', end);
	struct bytes target = take_until(p, ' ', end);
	struct bytes version = bytes_make(p->at, (size_t)(end - p->at));
	if (method.data == NULL || target.data == NULL)
		return refuse(p, 400, "request_line_malformed");
	p->at = end + 2;
	return parse_version(p, version) && parse_method(p, method) && parse_target(p, target);
}

/* --- header lines --------------------------------------------------------------------------------- */

static struct bytes trim(struct bytes text)
{
	while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
		text.data++;
		text.len--;
	}
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static bool parse_header(struct parser *p)
{
	const uint8_t *end = line_end(p);
	if (*p->at == ' ' || *p->at == '\t')
		return refuse(p, 400, "header_folded");
	struct bytes name = take_until(p, ':', end);
	if (name.len == 0 || !all(name, TOKEN))
		return refuse(p, 400, "header_name_malformed");
	struct bytes value = trim(bytes_make(p->at, (size_t)(end - p->at)));
	if (!all(value, FIELD))
		return refuse(p, 400, "header_value_malformed");
	if (p->head->header_count == HTTP_HEADERS_MAX)
		return refuse(p, 431, "headers_many");
	p->head->headers[p->head->header_count++] = (struct http_header){.name = name, .value = value};
	p->at = end + 2;
	return true;
}

/* --- what the headers mean ------------------------------------------------------------------------ */

static bool valid_port(struct bytes port)
{
	return port.len <= 5 && all(port, DIGIT);
}

static bool valid_host(struct bytes host)
{
	size_t i = 0;
	if (host.len == 0)
		return false;
	if (host.data[0] == '[') {
		while (i < host.len && host.data[i] != ']')
			i++;
		for (size_t k = 1; k < i; k++) {
			if (hex_value(host.data[k]) < 0 && host.data[k] != ':' && host.data[k] != '.')
				return false;
		}
		if (i == host.len || i < 3)
			return false;
		i++;
	} else {
		while (i < host.len && is(host.data[i], HOST))
			i++;
		if (i == 0)
			return false;
	}
	if (i == host.len)
		return true;
	return host.data[i] == ':' && valid_port(bytes_make(host.data + i + 1, host.len - i - 1));
}

static bool take_host(struct parser *p, struct bytes value, unsigned *hosts)
{
	if (++*hosts > 1)
		return refuse(p, 400, "host_doubled");
	return valid_host(value) || refuse(p, 400, "host_malformed");
}

static bool take_length(struct parser *p, struct bytes value)
{
	uint64_t length = 0;
	if (p->head->has_length)
		return refuse(p, 400, "length_doubled");
	if (value.len == 0 || !all(value, DIGIT))
		return refuse(p, 400, "length_malformed");
	for (size_t i = 0; i < value.len; i++) {
		uint64_t digit = (uint64_t)(value.data[i] - '0');
		if (length > (UINT64_MAX - digit) / 10)
			return refuse(p, 400, "length_malformed");
		length = length * 10 + digit;
	}
	p->head->has_length = true;
	p->head->content_length = length;
	return true;
}

static bool take_coding(struct parser *p, struct bytes value)
{
	if (p->head->chunked)
		return refuse(p, 400, "coding_doubled");
	if (p->head->version_minor == 0 || !http_name_is(value, "chunked"))
		return refuse(p, 400, "coding_refused");
	p->head->chunked = true;
	return true;
}

/* Reads one list of connection options; others than the two are for proxies and mean nothing here. */
static void take_connection(struct bytes list, bool *close, bool *keep)
{
	size_t start = 0;
	for (size_t i = 0; i <= list.len; i++) {
		if (i < list.len && list.data[i] != ',')
			continue;
		struct bytes option = trim(bytes_make(list.data + start, i - start));
		*close = *close || http_name_is(option, "close");
		*keep = *keep || http_name_is(option, "keep-alive");
		start = i + 1;
	}
}

static bool take_expect(struct parser *p, struct bytes value)
{
	if (!http_name_is(value, "100-continue"))
		return refuse(p, 417, "expectation_unknown");
	/* RFC 9110 10.1.1: an HTTP/1.0 client cannot mean it. */
	p->head->expect_continue = p->head->version_minor == 1;
	return true;
}

static bool interpret(struct parser *p)
{
	struct http_head *head = p->head;
	unsigned hosts = 0;
	bool close = false;
	bool keep = false;
	for (size_t i = 0; i < head->header_count; i++) {
		struct bytes name = head->headers[i].name;
		struct bytes value = head->headers[i].value;
		bool good = true;
		if (http_name_is(name, "host"))
			good = take_host(p, value, &hosts);
		else if (http_name_is(name, "content-length"))
			good = take_length(p, value);
		else if (http_name_is(name, "transfer-encoding"))
			good = take_coding(p, value);
		else if (http_name_is(name, "connection"))
			take_connection(value, &close, &keep);
		else if (http_name_is(name, "expect"))
			good = take_expect(p, value);
		if (!good)
			return false;
	}
	if (head->chunked && head->has_length)
		return refuse(p, 400, "two_framings");
	if (hosts == 0 && head->version_minor == 1)
		return refuse(p, 400, "host_missing");
	head->keep_alive = !close && (head->version_minor == 1 || keep);
	return true;
}

static bool parse_all(struct parser *p)
{
	if (!parse_request_line(p))
		return false;
	while (p->at + 2 < p->end) {
		if (!parse_header(p))
			return false;
	}
	return interpret(p);
}

enum http_head_result http_head_parse(struct bytes text, size_t *scanned, struct http_head *head, size_t *used,
				      int *status, const char **reason)
{
	struct parser p = {.at = text.data, .head = head};
	size_t end = 0;
	switch (find_end(text, scanned, &end)) {
	case SCAN_PARTIAL:
		return HTTP_HEAD_PARTIAL;
	case SCAN_NO_METHOD:
		(void)refuse(&p, 400, "method_malformed");
		break;
	case SCAN_BARE_LF:
		(void)refuse(&p, 400, "bare_lf");
		break;
	case SCAN_LONG:
		(void)refuse(&p, 431, "head_large");
		break;
	case SCAN_END:
		p.end = text.data + end;
		/* Not the whole struct: the header array is written as far as header_count says. */
		memset(head, 0, offsetof(struct http_head, headers));
		memset(&head->header_count, 0, sizeof(*head) - offsetof(struct http_head, header_count));
		if (parse_all(&p)) {
			assert(end <= text.len && end <= HTTP_HEAD_BYTES_MAX);
			*used = end;
			return HTTP_HEAD_DONE;
		}
		break;
	}
	assert(p.status >= 400);
	*status = p.status;
	*reason = p.reason;
	return HTTP_HEAD_BAD;
}
