/*
 * Every bound of Watchpost, with the arithmetic behind it.
 *
 * No loop, queue or buffer goes without one of these. Units stand last in the name. Settings whose
 * name an operator may change (common/settings.def) take their default and their range from here.
 */
#ifndef WATCHPOST_COMMON_LIMITS_H
#define WATCHPOST_COMMON_LIMITS_H

/* common/ */
#define ERR_TEXT_BYTES_MAX 512  /* one terminal line with a path and a reason */
#define SECRET_BYTES_MAX   512  /* whsec_ is 38, an API key 107; Ed25519 PEM 119 */
#define LOG_LINE_BYTES_MAX 4096 /* one atomic write to a pipe (PIPE_BUF) */
#define LOG_CUT_MARGIN_BYTES                                                                                           \
	64 /* of a line that is cut, this much goes first: the start of a secret that the                              \
	      filter no longer recognises is shorter (19 digits and 18 separators) */
#define LOG_SCRATCH_BYTES      (LOG_LINE_BYTES_MAX + LOG_CUT_MARGIN_BYTES) /* a line before the filter */
#define LOG_BATCH_BYTES_MAX    65536 /* about 300 lines, one turn of a loop; a pipe's capacity */
#define LOG_PATH_BYTES_MAX     1025  /* CONFIG_VALUE_BYTES_MAX and a NUL */
#define LOG_FIELDS_MAX         32
#define ID_PREFIX_BYTES_MAX    8                                             /* "acct" … "sess" */
#define ID_ULID_CHARS          26                                            /* 128 bits in Crockford base32 */
#define ID_TEXT_BYTES          (ID_PREFIX_BYTES_MAX + 1 + ID_ULID_CHARS + 1) /* prefix _ ulid NUL */
#define ID_BLOCK_BYTES         2560 /* random bytes drawn at once: 256 ids × 80 bits, one system call */
#define CONFIG_FILE_BYTES_MAX  65536
#define CONFIG_LINE_BYTES_MAX  4096
#define CONFIG_VALUE_BYTES_MAX 1024
#define CONFIG_NAME_BYTES_MAX  63 /* twice the longest name in the table */
#define STRIPE_SECRETS_MAX     4  /* two while rolling (24 h), twice over for two endpoints */

/* events (schemas/): what one message may hold */
#define EVENT_VALUE_BYTES_MAX       65536 /* 100 agent events of ≤ 1,000 characters do not share one message */
#define EVENT_STRING_BYTES_MAX      4096  /* 1,000 characters of four UTF-8 bytes each, and a little */
#define FREE_TEXT_BYTES_MAX         EVENT_STRING_BYTES_MAX /* what is typed is kept in one field of an event */
#define EVENT_FIELDS_MAX            64                     /* entries of a payload map, unknown ones included */
#define EVENT_DEPTH_MAX             8                      /* nesting that skipping an unknown field follows */
#define EVENT_HEADERS_MAX           16
#define EVENT_HEADER_NAME_BYTES_MAX 1024 /* our own are below 20 */
#define EVENT_TYPE_BYTES_MAX        64

/* JSON from outside */
#define JSON_DEPTH_MAX 64 /* Stripe's deepest fixture has 11 */

/* HTTP (ingress/net) */
#define HTTP_HEAD_BYTES_MAX          16384 /* request line and headers together; nginx: 4 × 8 KiB */
#define HTTP_HEADERS_MAX             64
#define HTTP_TARGET_BYTES_MAX        2048
#define HTTP_CHUNK_LINE_BYTES_MAX    256 /* size, extensions and CRLF of one chunk */
#define HTTP_TRAILER_BYTES_MAX       4096
#define HTTP_RESPONSE_HEAD_BYTES_MAX 2048
#define PROXY_HEADER_BYTES_MAX       2048 /* 16 + addresses + TLVs; the text asks for 536 and more */
#define NET_BLOCKS_MAX               64   /* trusted balancers */
#define CONNECTION_BLOCK_BYTES       8192 /* a read or write buffer: a 3 KiB webhook with its head, twice over */
#define CONNECTION_BLOCKS_KEPT_MAX   256  /* spare blocks of one loop: × 8 KiB = 2 MiB */
#define LOOP_LARGE_BYTES_MAX                                                                                           \
	268435456 /* buffers of one loop that outgrew their block, as bodies arrive; past it 503. 256 bodies of 512    \
		     KiB at once (each in 1 MiB, for buffers double), or 8 of 16 MiB */
#define CONNECTION_OUT_BYTES_MAX       65536   /* answers gathered for one connection before its pipeline pauses */
#define CONNECTION_READS_PER_TURN      16      /* then the other connections of the loop have their turn */
#define CONNECTION_LINGER_BYTES_MAX    1048576 /* read and thrown away behind a refusal, so that it arrives */
#define CONNECTION_LINGER_MS           2000
#define CONNECTION_DRAIN_HEAD_MS       1000 /* in a drain: for the first head of a connection that was just accepted */
#define ACCEPTS_PER_TURN               64
#define LISTEN_BACKLOG                 4096
#define ACCEPT_PAUSE_MS                100   /* without descriptors or memory: instead of trying in a circle */
#define TICKET_KEY_S                   43200 /* a day for two keys: clients that come once a day resume */
#define DESCRIPTORS_BESIDE_CONNECTIONS 256   /* loops, Kafka, log, admin, libraries */
#define REQUESTS_KEPT_MAX              256   /* spare request objects of one loop: × 3 KiB = 0.8 MiB */
#define REQUEST_NOTES_MAX              4
#define REQUEST_NOTE_BYTES_MAX         64
#define PROBLEM_BODY_BYTES_MAX         1024
#define TIMER_DURATIONS_MAX                                                                                            \
	20                     /* distinct durations of one loop: six settings, twice over while a reload              \
				  is under way, the store's and the grid's, and a little */
#define RATE_CLIENTS_MAX 16384 /* token buckets: × 32 B = 512 KiB; the longest unused one gives way */

/* the admin listener and metrics (every server) */
#define ADMIN_CONNECTIONS_MAX   16
#define ADMIN_REQUEST_BYTES_MAX 4096
#define ADMIN_ANSWER_BYTES_MAX  1048576 /* /metrics of 64 partitions is below 64 KiB */
#define ADMIN_TIMEOUT_MS        5000
#define METRIC_SHARDS           16 /* threads that count without touching each other's cache lines */
#define COUNTER_ROUTES_MAX      44 /* routes of the ingress, and "none": × 23 codes <= METRIC_SERIES_MAX */
#define METRICS_MAX             64
#define METRIC_SERIES_MAX       1024  /* label sets of one metric */
#define READY_GRACE_MS          10000 /* a broker blip that does not take every node off the balancer at once */

/* the webhook */
#define WEBHOOK_BODY_BYTES_MAX            524288 /* the largest Stripe event known is below 256 KiB */
#define STRIPE_SIGNATURE_HEADER_BYTES_MAX 4096
#define STRIPE_SIGNATURES_MAX             16           /* v1= entries looked at; one per secret while rolling */
#define STRIPE_ID_BYTES_MAX               255          /* "up to 255 characters", Stripe's upgrade notes */
#define STRIPE_TYPE_BYTES_MAX             255          /* the longest known has 66 (v2.core.account[…]_updated) */
#define STRIPE_WORD_BYTES_MAX             32           /* "incomplete_expired" has 18 */
#define STRIPE_VERSION_BYTES_MAX          64           /* "2025-03-31.basil" has 16 */
#define STRIPE_TIME_S_MAX                 253402300799 /* the end of the year 9999; 12 digits, so no card number fits */

/* changes of access by a request (R4, R5) */
#define IN_FORCE_POLL_MS    4    /* how often the nodes are counted: woken nodes have a change in about as long */
#define IN_FORCE_UNKNOWN_MS 5000 /* a call whose outcome is not known is repeated so long: two of STORE_TIMEOUT_MS */

/* what agents report (POST /v1/events) */
#define AGENT_EVENTS_MAX            PUBLISH_BATCH_MAX
#define AGENT_TEXT_CHARS_MAX        1000
#define AGENT_TEXT_BYTES_MAX        (4 * AGENT_TEXT_CHARS_MAX) /* UTF-8 */
#define AGENT_REPORT_ID_BYTES_MAX   64
#define AGENT_AMOUNT_MAX            INT64_C(999999999999) /* minor units; 12 digits, so no card number fits */
#define AGENT_AHEAD_MS              INT64_C(86400000)     /* a clock that is wrong by a time zone or two */
#define AGENT_FIELD_BYTES_MAX       48                    /* "events[99]." and a member of at most 24 characters */
#define AGENT_EVENTS_BODY_BYTES_MAX 524288 /* 100 × (4,000 bytes of text, 1,242 of the rest and white space) */
/* agents: tokens, leases, revocation (R1-R7) */
#define ACCESS_POLL_MS  100  /* how often a node asks for changes */
#define ACCESS_LEASE_MS 900  /* how long an answer is trusted, from before its question was sent */
#define ACCESS_WAIT_MS  1000 /* how long a revoke waits for a node that does not show its number */
#define NODE_FORGET_MS  (10 * ACCESS_WAIT_MS)
#define ACCESS_POLL_ROWS_MAX                                                                                           \
	5000                        /* changes of one answer; × 144 B = 0.7 MiB. "Everything of this account" of      \
				       100,000 agents is 20 answers */
#define ACCESS_EPOCH_BYTES_MAX 64   /* a timeline in 8 digits, '-', a UUID: 45 */
#define AUTH_LOOKUPS_MAX       64   /* look-ups under way at the primary, of one node: ≈ 0.3 ms each, 200 k/s */
#define AUTH_WAITING_MAX       1024 /* requests of one node that wait for one; 1024 / 64 × 0.3 ms ≈ 5 ms */
#define AUTH_TRIES_MAX         3    /* look-ups for one request */
#define AUTH_GRID_MS           20   /* refusals leave at the next multiple of this after their head */
#define AUTH_DELAYED_MAX       4096 /* refusals of one node that wait for that: 200 k/s */
#define AUTH_USES_MAX          4096 /* uses noted between two writes, of one node; more are noted a minute later */
#define AUTH_USES_MS           10000
#define STORE_TIMEOUT_MS       2000 /* one call of Postgres by the ingress; D6 wants decisions within 1 s */
#define STORE_WAITING_MAX      1024 /* calls under way on one connection of a loop */

/* Kafka */
#define KAFKA_BROKERS_BYTES_MAX 1024
#define KAFKA_TOPIC_BYTES_MAX   249     /* Kafka's own bound */
#define KAFKA_MESSAGE_BYTES_MAX 1000000 /* librdkafka's message.max.bytes default */
#define PUBLISH_WAITING_MAX                                                                                            \
	20000                           /* requests that may wait for Kafka on one node: ≈ 0.7 s of work             \
					   at 30 k/s, × 1 KiB a message = 20 MiB */
#define PUBLISH_BATCH_MAX           100 /* messages of one request: what POST /v1/events takes */
#define PARTITIONS_MAX              1024
#define KAFKA_RECORD_OVERHEAD_BYTES 128    /* batch header (61), record lengths and varints, rounded up */
#define KAFKA_QUEUE_KBYTES_MAX      262144 /* 256 MiB under way in one producer: 20,000 × 13 KiB */
#define KAFKA_PRODUCER_TOPICS_MAX   16     /* we have six */
#define KAFKA_CONSUMER_TOPICS_MAX   16     /* the same */
#define KAFKA_PREFETCH_KBYTES_MAX                                                                                      \
	32768 /* read ahead by one consumer. A full read-ahead pauses the library for up to                            \
		 a second, so it must last that long: 64 k/s at 512 B */

/* Stripe's API */
#define STRIPE_API_TIMEOUT_MS     10000   /* one read; Stripe answers in some hundred ms */
#define STRIPE_API_PAGE_MAX       100     /* Stripe's own bound of `limit` */
#define STRIPE_API_BODY_BYTES_MAX 8388608 /* a page of 100 subscriptions of 20 items of ≈ 3 KB, and a little */

/* the outbox and the fan-out */
#define OUTBOX_BATCH_ROWS 1000 /* × some 500 B; what is under way of one relay */
#define OUTBOX_IDLE_MS    100  /* how late a row is seen that nobody is notified of, on a quiet system */
#define OUTBOX_BUSY_MS    10   /* the same within a second of the last row */
#define WAKES_WAITING_MAX 2000 /* wake-ups under way; more are not sent, for nodes poll anyway */
#define NODES_MAX         1024 /* ingress nodes that the fan-out watches for silence */

/* workers */
#define BATCH_ITEMS_MAX 2000 /* × 65,536 B value bound = 125 MiB at the very worst */
#define WORKER_POSTGRES_TIMEOUT_MS_MAX                                                                                 \
	30000 /* half of what liveness allows between two beats; far below Kafka's max.poll.interval of 300 s */
#define WORKER_PARTITIONS_MAX 64 /* partitions one process holds at once */

/* Postgres */
#define PG_PARAMS_MAX 32 /* parameters of one call; a batch of rows is arrays, one per column */
#define PG_PARAMS_BYTES_MAX                                                                                            \
	201326592                   /* BATCH_ITEMS_MAX × (EVENT_VALUE_BYTES_MAX + 32 KiB of headers and the rest)     \
				       = 187.5 MiB, and a little; a Postgres message ends at 1 GiB */
#define PG_STATEMENTS_MAX      64   /* statements that one connection prepares */
#define PG_GRACE_MS            500  /* how much longer than the server's own timeout we wait for its answer */
#define PG_PIPE_WAITING_MAX    4096 /* calls under way on one pipelined connection */
#define PG_PIPE_STEPS_MAX      4    /* calls that share one Sync: begin and call 1, call 2 and commit (D7) */
#define PG_PIPE_BACKOFF_MS_MIN 20
#define PG_PIPE_BACKOFF_MS_MAX 1000 /* a database that is back is used again within about a second */
#define MIGRATIONS_MAX         9999 /* four digits */
#define MIGRATION_BYTES_MAX    1048576
#define MIGRATION_TIMEOUT_MS   600000 /* one statement of a migration; also how long it waits for another migrate */

/* watchpostctl */
#define TABLE_BYTES_MAX  67108864 /* what one command shows: 64 MiB, some 500,000 rows of accounts */
#define CHAIN_POINTS_MAX 1048576  /* seals of one partition in a check: hourly for 119 years; 48 bytes each, 48 MiB */
#define CTL_PAGE_ROWS    1000     /* rows asked for at once; api.…_list gives no more */

#endif
