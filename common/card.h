/*
 * What a card number looks like: digits, first digits that networks gave out, lengths, the check digit. The one place
 * that knows; the log's filter (common/redact.h), the shapes of Stripe's ids and free text (common/free_text.h) ask
 * here.
 *
 * Owns: nothing. Thread: any. Errors: none.
 */
#ifndef WATCHPOST_COMMON_CARD_H
#define WATCHPOST_COMMON_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"

enum { CARD_DIGITS_MIN = 13, CARD_DIGITS_MAX = 19 };

/* The check digit of ISO/IEC 7812-1 is right. `digits` are values (0 to 9) here and below. */
MUSTCHECK bool card_luhn(const uint8_t *digits, size_t count);
/* They begin as a network's numbers do, and a number of that network may ever have this length: for the log, where too
 * much is better than too little. At least CARD_DIGITS_MIN digits. */
MUSTCHECK bool card_network(const uint8_t *digits, size_t count);
/* The same with the lengths that networks do give out: for texts that would be refused. */
MUSTCHECK bool card_issued(const uint8_t *digits, size_t count);
/* Some beginning of these digits, of a card number's length, passes card_luhn. One pass for all lengths. */
MUSTCHECK bool card_begins(const uint8_t *digits, size_t count);

/*
 * A card number stands in this ASCII text, as people write them, or a card's security code behind its name.
 *
 * 13 to 19 digits that card_issued and card_luhn take: in one run; in groups of 4 (the last one shorter), 4-6-5, 4-6-4,
 * 8-8 or 6-13; spelled out in groups of 1, 2 or 3 digits that are all of one size (the last one shorter). Between two
 * groups stand one to three blanks, line ends or - . _ / | *, mixed at will. Groups of 4 begin where the digits do or
 * behind another kind of group, or are the last four; spelled out, no more such groups are around: so "card 1. 4242
 * 4242 4242 4242 12/27 123" is one, the middle of a parcel's number is none.
 *
 * No card number: 13 digits with a barcode's check digit (EAN-13), 13 or 14 digits behind a plus sign (a telephone
 * number), an IBAN whose own check digits are right. A security code is 3 or 4 digits behind "cvc", "cvv", "cvv2",
 * "cvc2" or "security code".
 */
MUSTCHECK bool card_in_text(struct bytes ascii);

#endif
