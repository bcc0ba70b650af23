/*
 * One short line about an event, made from an allow list of fields (promise 4), and the few columns that the ledger
 * searches by.
 *
 * Owns: views are into the value; text is inline. Thread: any.
 */
#ifndef WATCHPOST_WORKERS_AUDIT_LOG_SUMMARY_H
#define WATCHPOST_WORKERS_AUDIT_LOG_SUMMARY_H

#include "common/bytes.h"
#include "common/err.h"

/* The longest column is an actor: "operator:" and a role's name, 9 + 63. */
enum { SUMMARY_TEXT_BYTES_MAX = 200, SUMMARY_COLUMN_BYTES_MAX = 80 };

struct summary {
	struct bytes account;  /* empty: not told */
	struct bytes customer; /* empty: not told */
	struct bytes actor;    /* empty: not told */
	size_t text_len;
	char text[SUMMARY_TEXT_BYTES_MAX]; /* "name=value name=value", printable ASCII */
};

/* `type` is the ce_type, `value` a msgpack map. Fields that are not on the list, of another type, or too long are
 * passed over. Errors: ERR_INVALID when the value is not a whole map with text keys. */
MUSTCHECK bool summary_make(struct bytes type, struct bytes value, struct summary *out, struct err *err);

#endif
