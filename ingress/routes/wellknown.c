#include "ingress/routes/wellknown.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "ingress/loop.h"
#include "ingress/routes/openapi.h"
#include "ingress/routes/security_page.h"

static const int64_t MONTH_S = 30 * 24 * 3600;

/* The first day of the month eleven to twelve months ahead: it moves by itself, and not with every request. */
static void expiry(int64_t now_s, char *out, size_t cap)
{
	time_t at = (time_t)(now_s + 12 * MONTH_S);
	struct tm tm;
	if (gmtime_r(&at, &tm) == NULL || strftime(out, cap, "%Y-%m-01T00:00:00Z", &tm) == 0)
		out[0] = '\0';
	assert(out[0] != '\0');
}

void wellknown_security_txt(struct request *req)
{
	char text[512];
	char expires[32];
	expiry(clock_wall_ms(loop_clock(request_loop(req))) / 1000, expires, sizeof(expires));
	int len = snprintf(text, sizeof(text),
			   "Contact: mailto:security@watchpost.systems\n"
			   "Expires: %s\n"
			   "Preferred-Languages: en\n"
			   "Canonical: https://watchpost.systems/.well-known/security.txt\n"
			   "Policy: https://watchpost.systems/security\n",
			   expires);
	assert(len > 0 && (size_t)len < sizeof(text));
	request_finish(req, &(struct answer){.status = 200,
					     .reason = "served",
					     .content_type = "text/plain; charset=utf-8",
					     .body = bytes_make(text, (size_t)len)});
}

void wellknown_security_page(struct request *req)
{
	static const char HEADERS[] = "Content-Security-Policy: default-src 'none'; style-src " SECURITY_PAGE_STYLE_HASH
				      "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
				      "Referrer-Policy: no-referrer\r\n"
				      "X-Frame-Options: DENY\r\n"
				      "Cross-Origin-Opener-Policy: same-origin\r\n"
				      "Cross-Origin-Resource-Policy: same-origin\r\n"
				      "Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=()\r\n";
	request_finish(req, &(struct answer){.status = 200,
					     .reason = "served",
					     .content_type = "text/html; charset=utf-8",
					     .body = bytes_of(SECURITY_PAGE_HTML),
					     .headers = HEADERS});
}

void wellknown_openapi(struct request *req)
{
	request_finish(req, &(struct answer){.status = 200,
					     .reason = "served",
					     .content_type = "application/json",
					     .body = bytes_make(OPENAPI_JSON, sizeof(OPENAPI_JSON) - 1)});
}
