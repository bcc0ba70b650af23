/* workers/audit_log/summary.c: the allow list of a ledger row's line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "events.h"
#include "workers/audit_log/summary.h"

static void put_text(struct buf *b, const char *text)
{
	size_t len = strlen(text);
	assert_true(len < 32 ? buf_append_byte(b, (uint8_t)(0xa0 | len))
			     : buf_append_byte(b, 0xd9) && buf_append_byte(b, (uint8_t)len));
	assert_true(buf_append_text(b, text));
}

/* A map of text to text; pairs end with NULL. */
static void put_map(struct buf *b, const char *const *pairs)
{
	size_t count = 0;
	while (pairs[count] != NULL)
		count++;
	assert_true(buf_append_byte(b, (uint8_t)(0x80 | (count / 2))));
	for (size_t i = 0; i < count; i++)
		put_text(b, pairs[i]);
}

static void summarise(const char *type, const char *const *pairs, struct buf *b, struct summary *out)
{
	struct err err;
	buf_init(b, 4096);
	put_map(b, pairs);
	assert_true(summary_make(bytes_of(type), buf_bytes(b), out, &err));
}

/* Why: promise 4; a line shows what the list names and nothing else. How: listed and unlisted fields, and listed ones
 * whose value is no plain word, in another order than the list's. */
static void test_only_listed_words_are_shown(void **state)
{
	(void)state;
	static const char *const pairs[] = {"status",       "active",      "name",  "Jane Doe", "stripe_type",
					    "invoice.paid", "customer",    "cus_1", "mode",     "has space",
					    "currency",     "caf\xc3\xa9", "last4", "4242",     NULL};
	struct buf b;
	struct summary s;
	summarise("watchpost.stripe.other", pairs, &b, &s);
	assert_int_equal(s.text_len, strlen("stripe_type=invoice.paid status=active"));
	assert_memory_equal(s.text, "stripe_type=invoice.paid status=active", s.text_len);
	assert_true(bytes_equal_text(s.customer, "cus_1"));
	assert_true(bytes_equal_text(s.actor, "stripe"));
	assert_int_equal(s.account.len, 0);
	buf_free(&b);
}

/* Why: other topics name their actor and account themselves. How: an actor beats the agent, whatever the order; too
 * long is passed over. */
static void test_columns(void **state)
{
	(void)state;
	static const char *const pairs[] = {"actor", "owner_1", "agent_id", "agt_1", "account_id", "acct_1", NULL};
	static const char *const agent[] = {
		"agent_id", "agt_1", "customer",
		"cus_01234567890123456789012345678901234567890123456789012345678901234567890123456789", NULL};
	struct buf b;
	struct summary s;
	summarise("watchpost.access.granted", pairs, &b, &s);
	assert_true(bytes_equal_text(s.actor, "owner_1"));
	assert_true(bytes_equal_text(s.account, "acct_1"));
	buf_free(&b);
	summarise("watchpost.access.granted", agent, &b, &s);
	assert_true(bytes_equal_text(s.actor, "agt_1"));
	assert_int_equal(s.customer.len, 0);
	buf_free(&b);
}

/* Why: the ledger says who changed what for whom, and never what a person or a model typed (promise 4). How: an access
 * event and an agent's report as their generated encoders write them, with names, reasons and text in them. */
static void test_agents_and_access(void **state)
{
	(void)state;
	static const char changed[] =
		"change=revoked cause=operator agent_id=agt_1 token_prefix=wp_ABCDE access_number=7";
	static const char reported[] = "kind=purchase.failed decision_id=dec_1 amount=1250 currency=usd agent_id=agt_1";
	const struct event_access_agent change = {.account_id = bytes_of("acct_1"),
						  .agent_id = bytes_of("agt_1"),
						  .agent_name = bytes_of("Jane's agent"),
						  .has_agent_name = true,
						  .token_prefix = bytes_of("wp_ABCDE"),
						  .has_token_prefix = true,
						  .change = bytes_of("revoked"),
						  .cause = bytes_of("operator"),
						  .actor = bytes_of("operator:jane"),
						  .reason = bytes_of("lost"),
						  .has_reason = true,
						  .access_number = 7,
						  .has_access_number = true};
	const struct event_agent_report report = {.account_id = bytes_of("acct_1"),
						  .agent_id = bytes_of("agt_1"),
						  .kind = bytes_of("purchase.failed"),
						  .received_at_ms = 1700000000000,
						  .decision_id = bytes_of("dec_1"),
						  .has_decision_id = true,
						  .amount = 1250,
						  .has_amount = true,
						  .currency = bytes_of("usd"),
						  .has_currency = true,
						  .text = bytes_of("declined"),
						  .has_text = true};
	struct buf b;
	struct summary s;
	struct err err;
	buf_init(&b, 4096);
	assert_true(event_access_agent_encode(&change, &b));
	assert_true(summary_make(bytes_of("watchpost.access.agent"), buf_bytes(&b), &s, &err));
	assert_true(bytes_equal_text(bytes_make(s.text, s.text_len), changed));
	assert_true(bytes_equal_text(s.account, "acct_1"));
	assert_true(bytes_equal_text(s.actor, "operator:jane"));
	buf_clear(&b);
	assert_true(event_agent_report_encode(&report, &b));
	assert_true(summary_make(bytes_of("watchpost.agent.report"), buf_bytes(&b), &s, &err));
	assert_true(bytes_equal_text(bytes_make(s.text, s.text_len), reported));
	assert_true(bytes_equal_text(s.actor, "agt_1"));
	buf_free(&b);
}

/* Why: the line is bounded. How: more listed text than fits: whole pairs only, never over the bound. */
static void test_the_line_is_bounded(void **state)
{
	(void)state;
	static const char long_word[] = "0123456789012345678901234567890123456789012345678901234567890123";
	const char *const pairs[] = {"stripe_type", long_word, "subscription", long_word, "status", long_word,
				     "mode",        long_word, "state",        "on",      NULL};
	struct buf b;
	struct summary s;
	summarise("t", pairs, &b, &s);
	assert_in_range(s.text_len, 150, SUMMARY_TEXT_BYTES_MAX);
	assert_memory_equal(s.text + s.text_len - 9, " state=on", 9);
	buf_free(&b);
}

/* Why: what is no whole map is undecodable, not half read. How: every cut of a map, another item, a key that is no
 * text, bytes behind. */
static void test_broken_values(void **state)
{
	(void)state;
	static const char *const pairs[] = {"status", "active", "mode", "payment", NULL};
	static const char *const others[] = {"", "\x93", "\xc0", "\x81\x01\xa1x", "\x80\x80", "\x81\xa1k\xc1"};
	struct buf b;
	struct summary s;
	struct err err;
	summarise("t", pairs, &b, &s);
	for (size_t cut = 0; cut < b.len; cut++)
		assert_false(summary_make(bytes_of("t"), bytes_make(b.data, cut), &s, &err));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(summary_make(bytes_of("t"), bytes_of(others[i]), &s, &err));
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_listed_words_are_shown),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_agents_and_access),
		cmocka_unit_test(test_the_line_is_bounded),
		cmocka_unit_test(test_broken_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
