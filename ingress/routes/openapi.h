/*
 * The HTTP contract as JSON, made from schemas/openapi.yaml by ingress/routes/openapi.py. Not edited by hand.
 */
#ifndef WATCHPOST_INGRESS_ROUTES_OPENAPI_H
#define WATCHPOST_INGRESS_ROUTES_OPENAPI_H

/* clang-format off */
#define OPENAPI_JSON \
	"{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Watchpost\",\"summary\":\"Decides whethe" \
	"r an AI agent may spend money.\",\"description\":\"Errors of the public list" \
	"ener are application/problem+json (RFC 9457) with a code from a closed l" \
	"ist. A 2xx means that what was sent is kept.\",\"version\":\"1\",\"contact\":{\"" \
	"name\":\"Security\",\"email\":\"security@watchpost.systems\",\"url\":\"https://wat" \
	"chpost.systems/security\"}},\"servers\":[{\"url\":\"https://watchpost.systems\"" \
	",\"description\":\"The public listener.\"}],\"security\":[],\"tags\":[{\"name\":\"s" \
	"tripe\",\"description\":\"What Stripe calls.\"},{\"name\":\"agents\",\"description" \
	"\":\"What agents call, with the token of their connection.\"},{\"name\":\"ever" \
	"ybody\",\"description\":\"What anybody may read.\"}],\"paths\":{\"/webhooks/stri" \
	"pe\":{\"post\":{\"operationId\":\"stripeWebhook\",\"tags\":[\"stripe\"],\"summary\":\"" \
	"A signed Stripe event.\",\"description\":\"Answered 200 once Kafka has it, a" \
	"lso for types that nothing is done with, for duplicates, and for the oth" \
	"er livemode. Of the event only an allow list of fields is kept. The sign" \
	"ature is checked over the raw body; whatever is wrong with it, the answe" \
	"r is the same.\",\"security\":[{\"stripeSignature\":[]}],\"requestBody\":{\"requ" \
	"ired\":true,\"description\":\"A snapshot event (object \\\"event\\\") or a thin " \
	"one (object \\\"v2.core.event\\\"), at most webhook_body_bytes_max bytes. Th" \
	"e content type is not looked at.\",\"content\":{\"application/json\":{\"schema" \
	"\":{\"$ref\":\"#/components/schemas/StripeEvent\"},\"examples\":{\"snapshot\":{\"v" \
	"alue\":{\"id\":\"evt_1NG8Du2eZvKYlo2CUI79vXWy\",\"object\":\"event\",\"api_version" \
	"\":\"2025-03-31.basil\",\"created\":1686089970,\"livemode\":false,\"type\":\"custo" \
	"mer.subscription.updated\",\"data\":{\"object\":{\"id\":\"sub_1MowQVLkdIwHu7ixeR" \
	"lqHVzs\",\"object\":\"subscription\",\"customer\":\"cus_Na6dX7aXxi11N4\",\"status\"" \
	":\"active\"}}}},\"thin\":{\"value\":{\"id\":\"evt_test_65R9Ijk8dKEYZcXeRWn16R9A\"," \
	"\"object\":\"v2.core.event\",\"created\":\"2026-01-15T10:00:00.000Z\",\"livemode\"" \
	":false,\"type\":\"v1.billing.meter.error_report_triggered\"}}}}}},\"responses" \
	"\":{\"200\":{\"description\":\"It is in Kafka.\",\"headers\":{\"Watchpost-Request-" \
	"Id\":{\"$ref\":\"#/components/headers/RequestId\"}},\"content\":{\"application/j" \
	"son\":{\"schema\":{\"$ref\":\"#/components/schemas/Received\"},\"examples\":{\"kep" \
	"t\":{\"value\":{\"received\":true}}}}}},\"400\":{\"$ref\":\"#/components/responses" \
	"/Problem\"},\"413\":{\"$ref\":\"#/components/responses/Problem\"},\"429\":{\"$ref\"" \
	":\"#/components/responses/ProblemWithRetry\"},\"503\":{\"$ref\":\"#/components/" \
	"responses/ProblemWithRetry\"},\"default\":{\"$ref\":\"#/components/responses/P" \
	"roblem\"}}}},\"/v1/agent\":{\"get\":{\"operationId\":\"agent\",\"tags\":[\"agents\"]," \
	"\"summary\":\"Who am I?\",\"description\":\"Also answered for a paused agent, a" \
	"nd for one of a suspended account.\",\"security\":[{\"agentToken\":[]}],\"resp" \
	"onses\":{\"200\":{\"description\":\"The agent of this token, and its account.\"" \
	",\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/components/headers/Request" \
	"Id\"}},\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/sche" \
	"mas/AgentSelf\"},\"examples\":{\"active\":{\"value\":{\"agent\":{\"id\":\"agent_01J9" \
	"ZQ4B7N8M6K5H3G2F1E0D9C\",\"name\":\"Shopping assistant\",\"state\":\"active\",\"to" \
	"ken_prefix\":\"wp_ABCDE\",\"created_at\":\"2026-11-27T18:35:09.123Z\",\"last_use" \
	"d_at\":null},\"account\":{\"id\":\"acct_01J9ZQ4B7N8M6K5H3G2F1E0D9C\",\"state\":\"a" \
	"ctive\"}}}}}}},\"401\":{\"$ref\":\"#/components/responses/Unauthorized\"},\"413\"" \
	":{\"$ref\":\"#/components/responses/Problem\"},\"429\":{\"$ref\":\"#/components/r" \
	"esponses/ProblemWithRetry\"},\"503\":{\"$ref\":\"#/components/responses/Proble" \
	"mWithRetry\"},\"default\":{\"$ref\":\"#/components/responses/Problem\"}}},\"dele" \
	"te\":{\"operationId\":\"agentDisconnect\",\"tags\":[\"agents\"],\"summary\":\"Discon" \
	"nects the agent; its token is revoked for ever.\",\"description\":\"The answ" \
	"er is withheld until no node accepts the token any more: every node has " \
	"shown the change, or its trust in what it knew has ended. Also answered " \
	"for a paused agent, and for one of a suspended account. After a 503 the " \
	"outcome may be unknown; called again it is 401 if the token was revoked." \
	"\",\"security\":[{\"agentToken\":[]}],\"responses\":{\"200\":{\"description\":\"Revo" \
	"ked, and in force.\",\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/compone" \
	"nts/headers/RequestId\"}},\"content\":{\"application/json\":{\"schema\":{\"$ref\"" \
	":\"#/components/schemas/Revoked\"},\"examples\":{\"everywhere\":{\"value\":{\"rev" \
	"oked\":true,\"in_force\":{\"nodes\":3,\"of\":3,\"after_ms\":12}}}}}}},\"401\":{\"$re" \
	"f\":\"#/components/responses/Unauthorized\"},\"413\":{\"$ref\":\"#/components/re" \
	"sponses/Problem\"},\"429\":{\"$ref\":\"#/components/responses/ProblemWithRetry" \
	"\"},\"503\":{\"$ref\":\"#/components/responses/ProblemWithRetry\"},\"default\":{\"" \
	"$ref\":\"#/components/responses/Problem\"}}}},\"/v1/events\":{\"post\":{\"operat" \
	"ionId\":\"agentEvents\",\"tags\":[\"agents\"],\"summary\":\"Reports what happened," \
	" one event or up to a hundred.\",\"description\":\"Answered 202 once Kafka h" \
	"as all of them. All or nothing is taken: the first fault refuses the bod" \
	"y and names its field. After a 503 some may be kept; sent again with the" \
	" same ids, what comes twice is marked a duplicate. Texts and ids that ho" \
	"ld a secret or a card number are refused.\",\"security\":[{\"agentToken\":[]}" \
	"],\"requestBody\":{\"required\":true,\"description\":\"At most 524,288 bytes. T" \
	"he content type is not looked at.\",\"content\":{\"application/json\":{\"schem" \
	"a\":{\"$ref\":\"#/components/schemas/AgentEvents\"},\"examples\":{\"single\":{\"va" \
	"lue\":{\"id\":\"order-1001\",\"type\":\"purchase.completed\",\"occurred_at\":\"2026-" \
	"11-27T18:35:09Z\",\"decision_id\":\"dec_01J9ZQ4B7N8M6K5H3G2F1E0D9C\",\"amount\"" \
	":1250,\"currency\":\"usd\",\"text\":\"Two notebooks\"}},\"list\":{\"value\":{\"events" \
	"\":[{\"type\":\"purchase.failed\",\"text\":\"The shop was closed\"},{\"type\":\"note" \
	"\"}]}}}}}},\"responses\":{\"202\":{\"description\":\"All of them are in Kafka.\"," \
	"\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/components/headers/RequestI" \
	"d\"}},\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schem" \
	"as/AgentEventsAccepted\"},\"examples\":{\"single\":{\"value\":{\"accepted\":1,\"ev" \
	"ents\":[{\"id\":\"acct_01J9ZQ4B7N8M6K5H3G2F1E0D9C/order-1001\"}]}}}}}},\"400\":" \
	"{\"$ref\":\"#/components/responses/Problem\"},\"401\":{\"$ref\":\"#/components/re" \
	"sponses/Unauthorized\"},\"403\":{\"$ref\":\"#/components/responses/Problem\"},\"" \
	"413\":{\"$ref\":\"#/components/responses/Problem\"},\"422\":{\"$ref\":\"#/componen" \
	"ts/responses/Problem\"},\"429\":{\"$ref\":\"#/components/responses/ProblemWith" \
	"Retry\"},\"503\":{\"$ref\":\"#/components/responses/ProblemWithRetry\"},\"defaul" \
	"t\":{\"$ref\":\"#/components/responses/Problem\"}}}},\"/.well-known/security.t" \
	"xt\":{\"get\":{\"operationId\":\"securityText\",\"tags\":[\"everybody\"],\"summary\":" \
	"\"Where to report a vulnerability (RFC 9116).\",\"responses\":{\"200\":{\"descr" \
	"iption\":\"The contact, and until when it holds.\",\"headers\":{\"Watchpost-Re" \
	"quest-Id\":{\"$ref\":\"#/components/headers/RequestId\"}},\"content\":{\"text/pl" \
	"ain\":{\"schema\":{\"type\":\"string\"}}}},\"default\":{\"$ref\":\"#/components/resp" \
	"onses/Problem\"}}}},\"/security\":{\"get\":{\"operationId\":\"securityPage\",\"tag" \
	"s\":[\"everybody\"],\"summary\":\"What is done for security, in plain words.\"," \
	"\"responses\":{\"200\":{\"description\":\"The page.\",\"headers\":{\"Watchpost-Requ" \
	"est-Id\":{\"$ref\":\"#/components/headers/RequestId\"}},\"content\":{\"text/html" \
	"\":{\"schema\":{\"type\":\"string\"}}}},\"default\":{\"$ref\":\"#/components/respons" \
	"es/Problem\"}}}},\"/v1/openapi.json\":{\"get\":{\"operationId\":\"contract\",\"tag" \
	"s\":[\"everybody\"],\"summary\":\"This document as JSON, without the admin lis" \
	"tener.\",\"responses\":{\"200\":{\"description\":\"The contract.\",\"headers\":{\"Wa" \
	"tchpost-Request-Id\":{\"$ref\":\"#/components/headers/RequestId\"}},\"content\"" \
	":{\"application/json\":{\"schema\":{\"type\":\"object\"}}}},\"default\":{\"$ref\":\"#" \
	"/components/responses/Problem\"}}}}},\"components\":{\"securitySchemes\":{\"st" \
	"ripeSignature\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"Stripe-Signature\"," \
	"\"description\":\"t=<unix seconds>,v1=<hex>; HMAC-SHA256 of \\\"<t>.<raw body" \
	">\\\" under the endpoint's secret. Any v1 may match any secret that is act" \
	"ive; t may be off by 300 s (stripe_tolerance_s) either way.\"},\"agentToke" \
	"n\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"The token of the agen" \
	"t's connection, \\\"wp_\\\" and 32 characters of base32.\"}},\"headers\":{\"Requ" \
	"estId\":{\"description\":\"The request's id, which the log line carries too." \
	"\",\"required\":true,\"schema\":{\"$ref\":\"#/components/schemas/RequestId\"}},\"R" \
	"etryAfter\":{\"description\":\"Seconds to wait before another try.\",\"require" \
	"d\":true,\"schema\":{\"type\":\"integer\",\"minimum\":1}}},\"responses\":{\"Problem\"" \
	":{\"description\":\"Refused; the code says why.\",\"headers\":{\"Watchpost-Requ" \
	"est-Id\":{\"$ref\":\"#/components/headers/RequestId\"}},\"content\":{\"applicati" \
	"on/problem+json\":{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"},\"exam" \
	"ples\":{\"signature\":{\"value\":{\"type\":\"https://watchpost.systems/problems/" \
	"signature_invalid\",\"title\":\"The signature is not valid\",\"status\":400,\"co" \
	"de\":\"signature_invalid\",\"request_id\":\"req_01J9ZQ4B7N8M6K5H3G2F1E0D9C\"}}," \
	"\"field\":{\"value\":{\"type\":\"https://watchpost.systems/problems/event_inval" \
	"id\",\"title\":\"The event is not valid\",\"status\":400,\"code\":\"event_invalid\"" \
	",\"request_id\":\"req_01J9ZQ4B7N8M6K5H3G2F1E0D9C\",\"field\":\"id\",\"detail\":\"a " \
	"field is missing or not of the expected form\"}}}}}},\"Unauthorized\":{\"des" \
	"cription\":\"The token is missing, malformed, unknown or revoked; the answ" \
	"er is the same for all.\",\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/co" \
	"mponents/headers/RequestId\"},\"WWW-Authenticate\":{\"description\":\"The sche" \
	"me to use (RFC 6750).\",\"required\":true,\"schema\":{\"const\":\"Bearer\"}}},\"co" \
	"ntent\":{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/components/schem" \
	"as/Problem\"},\"examples\":{\"token\":{\"value\":{\"type\":\"https://watchpost.sys" \
	"tems/problems/unauthorized\",\"title\":\"The token is missing or not valid\"," \
	"\"status\":401,\"code\":\"unauthorized\",\"request_id\":\"req_01J9ZQ4B7N8M6K5H3G2" \
	"F1E0D9C\"}}}}}},\"ProblemWithRetry\":{\"description\":\"Not now; try again aft" \
	"er Retry-After.\",\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/components" \
	"/headers/RequestId\"},\"Retry-After\":{\"$ref\":\"#/components/headers/RetryAf" \
	"ter\"}},\"content\":{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/compon" \
	"ents/schemas/Problem\"},\"examples\":{\"away\":{\"value\":{\"type\":\"https://watc" \
	"hpost.systems/problems/unavailable\",\"title\":\"Not available now; try agai" \
	"n later\",\"status\":503,\"code\":\"unavailable\",\"request_id\":\"req_01J9ZQ4B7N8" \
	"M6K5H3G2F1E0D9C\"}}}}}}},\"schemas\":{\"RequestId\":{\"type\":\"string\",\"pattern" \
	"\":\"^req_[0-9A-HJKMNP-TV-Z]{26}$\"},\"Received\":{\"type\":\"object\",\"required\"" \
	":[\"received\"],\"properties\":{\"received\":{\"const\":true}},\"additionalProper" \
	"ties\":false},\"StripeEvent\":{\"type\":\"object\",\"description\":\"What every ev" \
	"ent needs; whatever else stands there is validated as JSON.\",\"required\":" \
	"[\"id\",\"type\",\"created\",\"livemode\"],\"properties\":{\"id\":{\"type\":\"string\",\"" \
	"maxLength\":255},\"object\":{\"description\":\"v2.core.event makes it a thin e" \
	"vent.\",\"type\":\"string\"},\"type\":{\"type\":\"string\"},\"created\":{\"description" \
	"\":\"Seconds since 1970 UTC; RFC 3339 in a thin event.\",\"type\":[\"integer\"," \
	"\"string\"]},\"livemode\":{\"type\":\"boolean\"}}},\"AgentSelf\":{\"type\":\"object\"," \
	"\"required\":[\"agent\",\"account\"],\"properties\":{\"agent\":{\"type\":\"object\",\"r" \
	"equired\":[\"id\",\"name\",\"state\",\"token_prefix\",\"created_at\",\"last_used_at\"" \
	"],\"properties\":{\"id\":{\"type\":\"string\"},\"name\":{\"type\":\"string\"},\"state\":" \
	"{\"enum\":[\"active\",\"paused\"]},\"token_prefix\":{\"description\":\"The first 8 " \
	"characters of the token.\",\"type\":\"string\"},\"created_at\":{\"type\":\"string\"" \
	",\"format\":\"date-time\"},\"last_used_at\":{\"description\":\"Noted every few se" \
	"conds; null before the first use.\",\"type\":[\"string\",\"null\"],\"format\":\"da" \
	"te-time\"}}},\"account\":{\"type\":\"object\",\"required\":[\"id\",\"state\"],\"proper" \
	"ties\":{\"id\":{\"type\":\"string\"},\"state\":{\"enum\":[\"active\",\"suspended\"]}}}}" \
	"},\"Revoked\":{\"type\":\"object\",\"required\":[\"revoked\",\"in_force\"],\"properti" \
	"es\":{\"revoked\":{\"const\":true},\"in_force\":{\"type\":\"object\",\"required\":[\"n" \
	"odes\",\"of\",\"after_ms\"],\"properties\":{\"nodes\":{\"description\":\"Nodes that " \
	"have shown the change; the others accept nothing on old knowledge.\",\"typ" \
	"e\":\"integer\"},\"of\":{\"type\":\"integer\"},\"after_ms\":{\"description\":\"Since t" \
	"he change was committed.\",\"type\":\"integer\"}}}}},\"AgentEvent\":{\"type\":\"ob" \
	"ject\",\"required\":[\"type\"],\"properties\":{\"id\":{\"description\":\"The agent's" \
	" own, so that an event that is sent again is the same event.\",\"type\":\"st" \
	"ring\",\"pattern\":\"^[A-Za-z0-9._-]{1,64}$\"},\"type\":{\"enum\":[\"purchase.comp" \
	"leted\",\"purchase.failed\",\"note\"]},\"occurred_at\":{\"description\":\"From 200" \
	"0 to a day ahead.\",\"type\":\"string\",\"format\":\"date-time\",\"maxLength\":48}," \
	"\"decision_id\":{\"type\":\"string\",\"pattern\":\"^dec_[0-7][0-9A-HJKMNP-TV-Z]{2" \
	"5}$\"},\"amount\":{\"description\":\"In minor units of the currency.\",\"type\":\"" \
	"integer\",\"minimum\":0,\"maximum\":999999999999},\"currency\":{\"description\":\"" \
	"ISO 4217 in lower case.\",\"type\":\"string\",\"pattern\":\"^[a-z]{3}$\"},\"text\":" \
	"{\"type\":\"string\",\"maxLength\":1000}},\"additionalProperties\":false},\"Agent" \
	"Events\":{\"oneOf\":[{\"$ref\":\"#/components/schemas/AgentEvent\"},{\"type\":\"ob" \
	"ject\",\"required\":[\"events\"],\"properties\":{\"events\":{\"type\":\"array\",\"minI" \
	"tems\":1,\"maxItems\":100,\"items\":{\"$ref\":\"#/components/schemas/AgentEvent\"" \
	"}}},\"additionalProperties\":false}]},\"AgentEventsAccepted\":{\"type\":\"objec" \
	"t\",\"required\":[\"accepted\",\"events\"],\"properties\":{\"accepted\":{\"type\":\"in" \
	"teger\"},\"events\":{\"description\":\"In the order in which they were sent.\"," \
	"\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{" \
	"\"id\":{\"description\":\"The account and the agent's id, \\\"acct_\\u2026/order" \
	"-1001\\\"; else a new \\\"evt_\\u2026\\\". It is the event's ce_id.\",\"type\":\"st" \
	"ring\"}}}}}},\"Problem\":{\"type\":\"object\",\"required\":[\"type\",\"title\",\"statu" \
	"s\",\"code\",\"request_id\"],\"properties\":{\"type\":{\"type\":\"string\",\"format\":\"" \
	"uri\",\"pattern\":\"^https://watchpost\\\\.systems/problems/[a-z_]+$\"},\"title\"" \
	":{\"type\":\"string\"},\"status\":{\"type\":\"integer\",\"minimum\":400,\"maximum\":59" \
	"9},\"code\":{\"$ref\":\"#/components/schemas/ProblemCode\"},\"request_id\":{\"$re" \
	"f\":\"#/components/schemas/RequestId\"},\"field\":{\"description\":\"The field a" \
	"t fault, where there is one.\",\"type\":\"string\"},\"detail\":{\"type\":\"string\"" \
	"}},\"additionalProperties\":false},\"ProblemCode\":{\"description\":\"The close" \
	"d list; programs decide by it and never by the title.\",\"enum\":[\"bad_requ" \
	"est\",\"signature_invalid\",\"json_invalid\",\"event_invalid\",\"secret_refused\"" \
	",\"card_data_refused\",\"unauthorized\",\"agent_paused\",\"account_suspended\",\"" \
	"not_found\",\"method_not_allowed\",\"request_timeout\",\"body_too_large\",\"targ" \
	"et_too_long\",\"expectation_failed\",\"rate_limited\",\"head_too_large\",\"inter" \
	"nal\",\"method_unknown\",\"unavailable\",\"version_unsupported\"]}}}}"
/* clang-format on */

#endif
