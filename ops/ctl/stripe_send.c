/* `watchpostctl stripe send`: signs samples or a file as Stripe does, posts them, shows the answers. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/limits.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/progress.h"
#include "ops/ctl/stripe_post.h"
#include "ops/ctl/stripe_sample.h"

enum { SEND_COUNT_MAX = 1000000, ROWS_SHOWN_MAX = 1000, ANSWER_SHOWN_BYTES = 200 };

static const struct table_column COLUMNS[] = {
	{"event_id", TABLE_TEXT},      {"type", TABLE_TEXT},   {"status", TABLE_NUMBER},
	{"duration_us", TABLE_NUMBER}, {"answer", TABLE_TEXT},
};

/* One command: what to send, where to, and what came of it so far. */
struct sending {
	const struct ctl *ctl;
	struct stripe_poster *poster;
	struct stripe_answer answer;
	struct table *table;
	int64_t count;
	int64_t created_s; /* 0: now, for each */
	struct buf file;   /* what --file holds; empty: samples */
	int64_t refused;
	long first_refusal;
};

/* In the order in which they happen. */
static bool read_flags(struct sending *sending, struct err *err);
static bool read_file(struct sending *sending, struct err *err);
static bool open_poster(struct sending *sending, struct err *err);
static bool send_all(struct sending *sending, struct err *err);
static bool show(struct sending *sending, struct err *err);

bool stripe_send_run(struct ctl *ctl, struct err *err)
{
	struct sending sending = {.ctl = ctl, .count = 1};
	bool done;

	buf_init(&sending.answer.body, STRIPE_ANSWER_BYTES_MAX);
	buf_init(&sending.file, WEBHOOK_BODY_BYTES_MAX * 2); /* more than the ingress takes, to see it refused */
	sending.table = table_new(COLUMNS, ARRAY_LEN(COLUMNS));
	done = read_flags(&sending, err) && read_file(&sending, err) && open_poster(&sending, err) &&
	       send_all(&sending, err) && show(&sending, err);
	stripe_poster_free(sending.poster);
	table_free(sending.table);
	buf_free(&sending.file);
	buf_free(&sending.answer.body);
	return done;
}

static bool read_flags(struct sending *sending, struct err *err)
{
	return ctl_value_i64(sending->ctl, "count", 1, SEND_COUNT_MAX, &sending->count, err) &&
	       ctl_value_i64(sending->ctl, "created", 1, STRIPE_TIME_S_MAX, &sending->created_s, err);
}

static bool read_stream(FILE *from, struct buf *into)
{
	char chunk[4096];
	size_t len;

	while ((len = fread(chunk, 1, sizeof(chunk), from)) > 0)
		if (!buf_append(into, chunk, len))
			return false;
	return ferror(from) == 0;
}

static bool read_file(struct sending *sending, struct err *err)
{
	const char *path = ctl_value(sending->ctl, "file");
	bool standard = path != NULL && strcmp(path, "-") == 0;

	if (path == NULL)
		return true;
	FILE *from = standard ? stdin : fopen(path, "re");
	if (from == NULL)
		return err_set(err, ERR_IO, "cannot open %s: %s", path, strerror(errno));
	bool done = read_stream(from, &sending->file);
	if (!standard)
		(void)fclose(from);
	if (!done)
		return err_set(err, ERR_IO, "cannot read %s, or it is over %zu bytes", path, sending->file.len_max);
	if (sending->file.len == 0)
		return err_set(err, ERR_INVALID, "%s is empty", path);
	return true;
}

/* The flag, else the environment that a development system's var/dev.env sets, else NULL. */
static const char *given(const struct ctl *ctl, const char *flag, const char *variable)
{
	const char *value = ctl_value(ctl, flag);

	if (value == NULL)
		value = getenv(variable);
	return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool open_poster(struct sending *sending, struct err *err)
{
	const struct secret_list *configured = &ctl_config(sending->ctl)->stripe_secret_files;
	const char *secret_file = ctl_value(sending->ctl, "secret-file");
	struct secret secret = {.hidden_len = 0};
	struct stripe_poster_options options = {.url = given(sending->ctl, "url", "WATCHPOST_URL"),
						.ca_file = given(sending->ctl, "ca", "WATCHPOST_CA"),
						.secret = &secret};

	if (options.url == NULL)
		return err_set(err, ERR_INVALID, "--url is missing: where the ingress is, https://host:port");
	if (secret_file != NULL) {
		if (!secret_read_file(&secret, secret_file, err))
			return false;
	} else if (configured->count > 0) {
		options.secret = &configured->items[0];
	} else {
		return err_set(err, ERR_INVALID, "a signing secret is missing: --secret-file, or stripe_secret_files");
	}
	sending->poster = stripe_poster_new(&options, err);
	secret_wipe(&secret);
	return sending->poster != NULL;
}

static void add_row(struct sending *sending, const char *event_id, const char *type)
{
	struct bytes answer = buf_bytes(&sending->answer.body);

	if (sending->answer.status != 200 && sending->refused++ == 0)
		sending->first_refusal = sending->answer.status;
	if (table_rows(sending->table) >= ROWS_SHOWN_MAX)
		return;
	while (answer.len > 0 && answer.data[answer.len - 1] == '\n')
		answer.len--;
	if (answer.len > ANSWER_SHOWN_BYTES)
		answer.len = ANSWER_SHOWN_BYTES;
	table_text(sending->table, event_id);
	table_text(sending->table, type);
	table_i64(sending->table, sending->answer.status);
	table_i64(sending->table, sending->answer.took_us);
	table_view(sending->table, answer);
}

/* The file goes out byte for byte, whatever it is; the row says what can be made out. */
static bool send_file(struct sending *sending, int64_t now_s, struct err *err)
{
	struct bytes body = buf_bytes(&sending->file);

	if (!stripe_post(sending->poster, body, now_s, &sending->answer, err))
		return false;
	json_t *event = json_loadb((const char *)body.data, body.len, 0, NULL);
	add_row(sending, json_string_value(json_object_get(event, "id")),
		json_string_value(json_object_get(event, "type")));
	json_decref(event);
	return true;
}

static const char *value_or(const struct ctl *ctl, const char *flag, const char *otherwise)
{
	const char *value = ctl_value(ctl, flag);

	return value != NULL ? value : otherwise;
}

/* Ids that nobody gave are made once: the events of one command are about one subscription. */
struct sample_ids {
	char customer[ID_TEXT_BYTES], subscription[ID_TEXT_BYTES];
};

static bool send_sample(struct sending *sending, const struct sample_ids *ids, int64_t now_s, struct err *err)
{
	const struct ctl *ctl = sending->ctl;
	char event_id[ID_TEXT_BYTES];
	const char *type = value_or(ctl, "type", "customer.subscription.created");
	const char *status = strcmp(type, "customer.subscription.deleted") == 0 ? "canceled" : "active";

	id_new("evt", clock_system(), event_id);
	char *body = stripe_sample_write(&(struct stripe_sample){
		.event_id = event_id,
		.type = type,
		.customer = value_or(ctl, "customer", ids->customer),
		.subscription = value_or(ctl, "subscription", ids->subscription),
		.status = value_or(ctl, "status", status),
		.account = ctl_value(ctl, "account"),
		.created_s = sending->created_s != 0 ? sending->created_s : now_s,
		.livemode = ctl_switch(ctl, "livemode"),
	});
	if (body == NULL)
		return err_set(err, ERR_INVALID, "the values are not UTF-8");
	bool sent = stripe_post(sending->poster, bytes_of(body), now_s, &sending->answer, err);
	free(body);
	if (sent)
		add_row(sending, event_id, type);
	return sent;
}

static bool send_all(struct sending *sending, struct err *err)
{
	struct progress progress;
	struct sample_ids ids;
	bool sent = true;

	id_new("cus", clock_system(), ids.customer);
	id_new("sub", clock_system(), ids.subscription);
	progress_begin(&progress, "sending");
	for (int64_t i = 0; sent && i < sending->count; i++) {
		int64_t now_s = clock_wall_ms(clock_system()) / 1000;
		progress_update(&progress, (uint64_t)i, (uint64_t)sending->count);
		sent = sending->file.len > 0 ? send_file(sending, now_s, err) : send_sample(sending, &ids, now_s, err);
	}
	progress_end(&progress);
	return sent;
}

static enum err_code refusal_code(long status)
{
	if (status == 413)
		return ERR_TOO_LARGE;
	if (status == 429)
		return ERR_FULL;
	return status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID;
}

static bool show(struct sending *sending, struct err *err)
{
	struct table *table = sending->table;
	enum table_shape shape = sending->count == 1 ? TABLE_RECORD : TABLE_LIST;

	if (sending->count > ROWS_SHOWN_MAX)
		ctl_note(sending->ctl, "the first %d of %lld are shown", ROWS_SHOWN_MAX, (long long)sending->count);
	sending->table = NULL;
	if (!ctl_print(sending->ctl, table, shape, err))
		return false;
	if (sending->refused == 0)
		return true;
	return err_set(err, refusal_code(sending->first_refusal),
		       "%lld of %lld events were not taken; the first answer: %ld", (long long)sending->refused,
		       (long long)sending->count, sending->first_refusal);
}
