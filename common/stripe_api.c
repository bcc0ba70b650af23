#include "common/stripe_api.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/clock.h"

enum {
	CONNECT_TIMEOUT_MS = 3000,
	URL_BYTES_MAX = 2048,
	HEADER_BYTES_MAX = SECRET_BYTES_MAX + 32,
	NS_PER_S = 1000000000
};

struct stripe_api {
	CURL *curl;
	struct curl_slist *headers;
	char base[CONFIG_VALUE_BYTES_MAX];
	int rate_per_s;
	int64_t next_ns; /* when the next call may begin */
	const atomic_bool *cancel;
	struct buf body;
};

static bool cancelled(const struct stripe_api *api)
{
	return api->cancel != NULL && atomic_load_explicit(api->cancel, memory_order_relaxed);
}

static size_t on_body(char *data, size_t size, size_t n, void *owner)
{
	struct stripe_api *api = owner;
	/* Fewer bytes than given end the transfer. */
	return buf_append(&api->body, data, size * n) ? size * n : 0;
}

static int on_progress(void *owner, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un)
{
	const struct stripe_api *api = owner;
	(void)dt;
	(void)dn;
	(void)ut;
	(void)un;
	return cancelled(api) ? 1 : 0;
}

static bool headers_set(struct stripe_api *api, const struct secret *key)
{
	char header[HEADER_BYTES_MAX];
	struct bytes value = secret_bytes(key);
	int len = snprintf(header, sizeof(header), "Authorization: Bearer %.*s", (int)value.len,
			   (const char *)value.data);
	assert(len > 0 && (size_t)len < sizeof(header));
	api->headers = curl_slist_append(NULL, header);
	explicit_bzero(header, sizeof(header));
	return api->headers != NULL;
}

static bool options_set(struct stripe_api *api)
{
	CURL *c = api->curl;
	return curl_easy_setopt(c, CURLOPT_HTTPHEADER, api->headers) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, api) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_XFERINFODATA, api) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)STRIPE_API_TIMEOUT_MS) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_USERAGENT, "watchpost/" WATCHPOST_VERSION) == CURLE_OK;
}

struct stripe_api *stripe_api_new(const struct stripe_api_options *options, struct err *err)
{
	struct stripe_api *api = calloc(1, sizeof(*api));
	if (api == NULL)
		goto fail;
	buf_init(&api->body, STRIPE_API_BODY_BYTES_MAX);
	api->rate_per_s = options->rate_per_s > 0 ? options->rate_per_s : 1;
	api->cancel = options->cancel;
	int len = snprintf(api->base, sizeof(api->base), "%s", options->base);
	api->curl = curl_easy_init();
	if (len < 0 || (size_t)len >= sizeof(api->base) || api->curl == NULL || !headers_set(api, options->key) ||
	    !options_set(api))
		goto fail;
	return api;
fail:
	stripe_api_free(api);
	(void)err_set(err, ERR_FULL, "no client for Stripe's API could be made");
	return NULL;
}

void stripe_api_free(struct stripe_api *api)
{
	if (api == NULL)
		return;
	curl_easy_cleanup(api->curl);
	for (struct curl_slist *h = api->headers; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(api->headers);
	buf_free(&api->body);
	free(api);
}

/* Spreads calls evenly; wakes up for `cancel`. */
static void wait_for_turn(struct stripe_api *api)
{
	const struct clock *clock = clock_system();
	const struct timespec nap = {.tv_nsec = 5000000};
	while (clock_mono_ns(clock) < api->next_ns && !cancelled(api))
		(void)nanosleep(&nap, NULL);
	api->next_ns = clock_mono_ns(clock) + NS_PER_S / api->rate_per_s;
}

static bool transport_failed(const struct stripe_api *api, CURLcode code, struct err *err)
{
	if (cancelled(api))
		return err_set(err, ERR_UNAVAILABLE, "asking Stripe's API was cancelled");
	if (code == CURLE_OPERATION_TIMEDOUT)
		return err_set(err, ERR_TIMEOUT, "Stripe's API did not answer in time");
	if (code == CURLE_WRITE_ERROR)
		return err_set(err, ERR_INVALID, "Stripe's answer is over %d bytes", STRIPE_API_BODY_BYTES_MAX);
	return err_set(err, ERR_UNAVAILABLE, "Stripe's API cannot be reached: %s", curl_easy_strerror(code));
}

static bool status_failed(long status, struct err *err)
{
	if (status == 404)
		return err_set(err, ERR_NOT_FOUND, "Stripe does not know this id");
	if (status == 401 || status == 403)
		return err_set(err, ERR_DENIED, "Stripe refuses the key (status %ld)", status);
	if (status == 429)
		return err_set(err, ERR_FULL, "Stripe's rate limit is reached");
	if (status >= 500)
		return err_set(err, ERR_UNAVAILABLE, "Stripe's API answered with status %ld", status);
	return err_set(err, ERR_INVALID, "Stripe's API answered with status %ld", status);
}

static bool get(struct stripe_api *api, const char *url, struct err *err)
{
	long status = 0;
	wait_for_turn(api);
	buf_clear(&api->body);
	if (curl_easy_setopt(api->curl, CURLOPT_URL, url) != CURLE_OK)
		return err_set(err, ERR_INVALID, "stripe_api_base is not an address");
	CURLcode code = curl_easy_perform(api->curl);
	if (code != CURLE_OK)
		return transport_failed(api, code, err);
	if (curl_easy_getinfo(api->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status != 200)
		return status_failed(status, err);
	return true;
}

/* Ids go into the URL as they are. */
static bool id_plain(const char *id)
{
	return id[0] != '\0' && strlen(id) <= STRIPE_ID_BYTES_MAX &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(id);
}

bool stripe_api_subscription(struct stripe_api *api, const char *id, struct stripe_subscription *out, struct err *err)
{
	char url[URL_BYTES_MAX];
	if (!id_plain(id))
		return err_set(err, ERR_INVALID, "not an id of Stripe's");
	int len = snprintf(url, sizeof(url), "%s/v1/subscriptions/%s", api->base, id);
	if (len < 0 || (size_t)len >= sizeof(url))
		return err_set(err, ERR_TOO_LARGE, "the address of a subscription is too long");
	if (!get(api, url, err) || !stripe_api_parse(buf_bytes(&api->body), out, err))
		return false;
	if (strcmp(out->id, id) != 0)
		return err_set(err, ERR_INVALID, "Stripe answered with another subscription");
	return true;
}

bool stripe_api_list(struct stripe_api *api, const char *after, struct stripe_subscription *out, size_t max,
		     size_t *count, bool *more, struct err *err)
{
	char url[URL_BYTES_MAX];
	assert(max >= 1 && max <= STRIPE_API_PAGE_MAX);
	if (after != NULL && !id_plain(after))
		return err_set(err, ERR_INVALID, "not an id of Stripe's");
	int len = snprintf(url, sizeof(url), "%s/v1/subscriptions?status=all&limit=%zu%s%s", api->base, max,
			   after != NULL ? "&starting_after=" : "", after != NULL ? after : "");
	if (len < 0 || (size_t)len >= sizeof(url))
		return err_set(err, ERR_TOO_LARGE, "the address of a page is too long");
	return get(api, url, err) && stripe_api_parse_list(buf_bytes(&api->body), out, max, count, more, err);
}
