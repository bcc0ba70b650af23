/*
 * The events of tests/fixtures/stripe for unit tests. Errors end the test with a cmocka assertion.
 */
#ifndef WATCHPOST_TESTS_UNIT_SUPPORT_STRIPE_FIXTURES_H
#define WATCHPOST_TESTS_UNIT_SUPPORT_STRIPE_FIXTURES_H

#include <jansson.h>

enum { STRIPE_FIXTURES_MAX = 200, STRIPE_FIXTURES_MIN = 25 };

/* How many there are; at least STRIPE_FIXTURES_MIN. */
size_t stripe_fixtures_count(void);
/* "subscription_created", in alphabetical order; lives until the program ends. */
const char *stripe_fixture_name(size_t index);
/* A fresh tree. Owns: the caller, json_decref. */
json_t *stripe_fixture_load(const char *name);

#endif
