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
	"tripe\",\"description\":\"What Stripe calls.\"},{\"name\":\"everybody\",\"descript" \
	"ion\":\"What anybody may read.\"}],\"paths\":{\"/webhooks/stripe\":{\"post\":{\"op" \
	"erationId\":\"stripeWebhook\",\"tags\":[\"stripe\"],\"summary\":\"A signed Stripe " \
	"event.\",\"description\":\"Answered 200 once Kafka has it, also for types th" \
	"at nothing is done with, for duplicates, and for the other livemode. Of " \
	"the event only an allow list of fields is kept. The signature is checked" \
	" over the raw body; whatever is wrong with it, the answer is the same.\"," \
	"\"security\":[{\"stripeSignature\":[]}],\"requestBody\":{\"required\":true,\"desc" \
	"ription\":\"A snapshot event (object \\\"event\\\") or a thin one (object \\\"v2" \
	".core.event\\\"), at most webhook_body_bytes_max bytes. The content type i" \
	"s not looked at.\",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/com" \
	"ponents/schemas/StripeEvent\"},\"examples\":{\"snapshot\":{\"value\":{\"id\":\"evt" \
	"_1NG8Du2eZvKYlo2CUI79vXWy\",\"object\":\"event\",\"api_version\":\"2025-03-31.ba" \
	"sil\",\"created\":1686089970,\"livemode\":false,\"type\":\"customer.subscription" \
	".updated\",\"data\":{\"object\":{\"id\":\"sub_1MowQVLkdIwHu7ixeRlqHVzs\",\"object\"" \
	":\"subscription\",\"customer\":\"cus_Na6dX7aXxi11N4\",\"status\":\"active\"}}}},\"t" \
	"hin\":{\"value\":{\"id\":\"evt_test_65R9Ijk8dKEYZcXeRWn16R9A\",\"object\":\"v2.cor" \
	"e.event\",\"created\":\"2026-01-15T10:00:00.000Z\",\"livemode\":false,\"type\":\"v" \
	"1.billing.meter.error_report_triggered\"}}}}}},\"responses\":{\"200\":{\"descr" \
	"iption\":\"It is in Kafka.\",\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/c" \
	"omponents/headers/RequestId\"}},\"content\":{\"application/json\":{\"schema\":{" \
	"\"$ref\":\"#/components/schemas/Received\"},\"examples\":{\"kept\":{\"value\":{\"re" \
	"ceived\":true}}}}}},\"400\":{\"$ref\":\"#/components/responses/Problem\"},\"413\"" \
	":{\"$ref\":\"#/components/responses/Problem\"},\"429\":{\"$ref\":\"#/components/r" \
	"esponses/ProblemWithRetry\"},\"503\":{\"$ref\":\"#/components/responses/Proble" \
	"mWithRetry\"},\"default\":{\"$ref\":\"#/components/responses/Problem\"}}}},\"/.w" \
	"ell-known/security.txt\":{\"get\":{\"operationId\":\"securityText\",\"tags\":[\"ev" \
	"erybody\"],\"summary\":\"Where to report a vulnerability (RFC 9116).\",\"respo" \
	"nses\":{\"200\":{\"description\":\"The contact, and until when it holds.\",\"hea" \
	"ders\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/components/headers/RequestId\"}}" \
	",\"content\":{\"text/plain\":{\"schema\":{\"type\":\"string\"}}}},\"default\":{\"$ref" \
	"\":\"#/components/responses/Problem\"}}}},\"/security\":{\"get\":{\"operationId\"" \
	":\"securityPage\",\"tags\":[\"everybody\"],\"summary\":\"What is done for securit" \
	"y, in plain words.\",\"responses\":{\"200\":{\"description\":\"The page.\",\"heade" \
	"rs\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/components/headers/RequestId\"}},\"" \
	"content\":{\"text/html\":{\"schema\":{\"type\":\"string\"}}}},\"default\":{\"$ref\":\"" \
	"#/components/responses/Problem\"}}}},\"/v1/openapi.json\":{\"get\":{\"operatio" \
	"nId\":\"contract\",\"tags\":[\"everybody\"],\"summary\":\"This document as JSON, w" \
	"ithout the admin listener.\",\"responses\":{\"200\":{\"description\":\"The contr" \
	"act.\",\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/components/headers/Re" \
	"questId\"}},\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\"}}}}," \
	"\"default\":{\"$ref\":\"#/components/responses/Problem\"}}}}},\"components\":{\"s" \
	"ecuritySchemes\":{\"stripeSignature\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\"" \
	":\"Stripe-Signature\",\"description\":\"t=<unix seconds>,v1=<hex>; HMAC-SHA25" \
	"6 of \\\"<t>.<raw body>\\\" under the endpoint's secret. Any v1 may match an" \
	"y secret that is active; t may be off by 300 s (stripe_tolerance_s) eith" \
	"er way.\"}},\"headers\":{\"RequestId\":{\"description\":\"The request's id, whic" \
	"h the log line carries too.\",\"required\":true,\"schema\":{\"$ref\":\"#/compone" \
	"nts/schemas/RequestId\"}},\"RetryAfter\":{\"description\":\"Seconds to wait be" \
	"fore another try.\",\"required\":true,\"schema\":{\"type\":\"integer\",\"minimum\":" \
	"1}}},\"responses\":{\"Problem\":{\"description\":\"Refused; the code says why.\"" \
	",\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/components/headers/Request" \
	"Id\"}},\"content\":{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/compone" \
	"nts/schemas/Problem\"},\"examples\":{\"signature\":{\"value\":{\"type\":\"https://" \
	"watchpost.systems/problems/signature_invalid\",\"title\":\"The signature is " \
	"not valid\",\"status\":400,\"code\":\"signature_invalid\",\"request_id\":\"req_01J" \
	"9ZQ4B7N8M6K5H3G2F1E0D9C\"}},\"field\":{\"value\":{\"type\":\"https://watchpost.s" \
	"ystems/problems/event_invalid\",\"title\":\"The event is not valid\",\"status\"" \
	":400,\"code\":\"event_invalid\",\"request_id\":\"req_01J9ZQ4B7N8M6K5H3G2F1E0D9C" \
	"\",\"field\":\"id\",\"detail\":\"a field is missing or not of the expected form\"" \
	"}}}}}},\"ProblemWithRetry\":{\"description\":\"Not now; try again after Retry" \
	"-After.\",\"headers\":{\"Watchpost-Request-Id\":{\"$ref\":\"#/components/headers" \
	"/RequestId\"},\"Retry-After\":{\"$ref\":\"#/components/headers/RetryAfter\"}},\"" \
	"content\":{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/components/sch" \
	"emas/Problem\"},\"examples\":{\"away\":{\"value\":{\"type\":\"https://watchpost.sy" \
	"stems/problems/unavailable\",\"title\":\"Not available now; try again later\"" \
	",\"status\":503,\"code\":\"unavailable\",\"request_id\":\"req_01J9ZQ4B7N8M6K5H3G2" \
	"F1E0D9C\"}}}}}}},\"schemas\":{\"RequestId\":{\"type\":\"string\",\"pattern\":\"^req_" \
	"[0-9A-HJKMNP-TV-Z]{26}$\"},\"Received\":{\"type\":\"object\",\"required\":[\"recei" \
	"ved\"],\"properties\":{\"received\":{\"const\":true}},\"additionalProperties\":fa" \
	"lse},\"StripeEvent\":{\"type\":\"object\",\"description\":\"What every event need" \
	"s; whatever else stands there is validated as JSON.\",\"required\":[\"id\",\"t" \
	"ype\",\"created\",\"livemode\"],\"properties\":{\"id\":{\"type\":\"string\",\"maxLengt" \
	"h\":255},\"object\":{\"description\":\"v2.core.event makes it a thin event.\",\"" \
	"type\":\"string\"},\"type\":{\"type\":\"string\"},\"created\":{\"description\":\"Secon" \
	"ds since 1970 UTC; RFC 3339 in a thin event.\",\"type\":[\"integer\",\"string\"" \
	"]},\"livemode\":{\"type\":\"boolean\"}}},\"Problem\":{\"type\":\"object\",\"required\"" \
	":[\"type\",\"title\",\"status\",\"code\",\"request_id\"],\"properties\":{\"type\":{\"ty" \
	"pe\":\"string\",\"format\":\"uri\",\"pattern\":\"^https://watchpost\\\\.systems/prob" \
	"lems/[a-z_]+$\"},\"title\":{\"type\":\"string\"},\"status\":{\"type\":\"integer\",\"mi" \
	"nimum\":400,\"maximum\":599},\"code\":{\"$ref\":\"#/components/schemas/ProblemCo" \
	"de\"},\"request_id\":{\"$ref\":\"#/components/schemas/RequestId\"},\"field\":{\"de" \
	"scription\":\"The field at fault, where there is one.\",\"type\":\"string\"},\"d" \
	"etail\":{\"type\":\"string\"}},\"additionalProperties\":false},\"ProblemCode\":{\"" \
	"description\":\"The closed list; programs decide by it and never by the ti" \
	"tle.\",\"enum\":[\"bad_request\",\"signature_invalid\",\"json_invalid\",\"event_in" \
	"valid\",\"unauthorized\",\"agent_paused\",\"account_suspended\",\"not_found\",\"me" \
	"thod_not_allowed\",\"request_timeout\",\"body_too_large\",\"target_too_long\",\"" \
	"expectation_failed\",\"rate_limited\",\"head_too_large\",\"internal\",\"method_u" \
	"nknown\",\"unavailable\",\"version_unsupported\"]}}}}"
/* clang-format on */

#endif
