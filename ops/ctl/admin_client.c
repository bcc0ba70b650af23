#include "ops/ctl/admin_client.h"

#include <curl/curl.h>
#include <string.h>

static bool parse_one(struct bytes part, struct admin_target *out)
{
	const char *equals = memchr(part.data, '=', part.len);
	if (equals == NULL)
		return false;
	size_t name_len = (size_t)(equals - (const char *)part.data), url_len = part.len - name_len - 1;
	if (name_len == 0 || name_len >= sizeof(out->name) || url_len == 0 || url_len >= sizeof(out->url))
		return false;
	memcpy(out->name, part.data, name_len);
	out->name[name_len] = '\0';
	memcpy(out->url, equals + 1, url_len);
	while (url_len > 0 && out->url[url_len - 1] == '/')
		url_len--;
	out->url[url_len] = '\0';
	return strncmp(out->url, "http://", 7) == 0 || strncmp(out->url, "https://", 8) == 0;
}

bool admin_targets_parse(const char *setting, struct admin_target *out, size_t *count, struct err *err)
{
	*count = 0;
	for (const char *at = setting; *at != '\0';) {
		at += strspn(at, ", ");
		size_t len = strcspn(at, ", ");
		if (len == 0)
			break;
		if (*count == ADMIN_TARGETS_MAX)
			return err_set(err, ERR_TOO_LARGE, "admin_urls: over %d programs", ADMIN_TARGETS_MAX);
		if (!parse_one(bytes_make(at, len), &out[*count]))
			return err_set(err, ERR_INVALID,
				       "admin_urls: NAME=http://HOST:PORT is expected, comma-separated");
		(*count)++;
		at += len;
	}
	return true;
}

static size_t on_data(char *data, size_t size, size_t count, void *answer)
{
	return buf_append(answer, data, size * count) ? size * count : 0;
}

static bool set_up(CURL *curl, const char *url, const char *body, struct buf *answer)
{
	bool good = curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ADMIN_CLIENT_MS) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
		    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) == CURLE_OK;
	if (good && body != NULL)
		good = curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, body) == CURLE_OK;
	return good;
}

bool admin_ask(const struct admin_target *target, const char *path, const char *body, struct buf *answer, long *status,
	       struct err *err)
{
	char url[512];
	CURL *curl = curl_easy_init();
	bool good = false;
	(void)snprintf(url, sizeof(url), "%s%s", target->url, path);
	buf_clear(answer);
	if (curl == NULL || !set_up(curl, url, body, answer)) {
		(void)err_set(err, ERR_INTERNAL, "libcurl could not be set up");
		goto out;
	}
	CURLcode code = curl_easy_perform(curl);
	good = code == CURLE_OK && curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status) == CURLE_OK;
	if (!good)
		(void)err_set(err, ERR_UNAVAILABLE, "%s at %s: %s", target->name, target->url,
			      curl_easy_strerror(code));
out:
	curl_easy_cleanup(curl);
	return good;
}
