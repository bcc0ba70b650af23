/*
 * Every bound of Watchpost, with the arithmetic behind it.
 *
 * No loop, queue or buffer goes without one of these. Units stand last in the name. Settings whose
 * name an operator may change (common/settings.def) take their default and their range from here.
 */
#ifndef WATCHPOST_COMMON_LIMITS_H
#define WATCHPOST_COMMON_LIMITS_H

/* common/ */
#define ERR_TEXT_BYTES_MAX 512    /* one terminal line with a path and a reason */
#define SECRET_BYTES_MAX 512      /* whsec_ is 38, an API key 107; Ed25519 PEM 119 */
#define LOG_LINE_BYTES_MAX 4096   /* one atomic write to a pipe (PIPE_BUF) */
#define LOG_FIELDS_MAX 32
#define ID_PREFIX_BYTES_MAX 8     /* "acct" … "sess" */
#define ID_ULID_CHARS 26          /* 128 bits in Crockford base32 */
#define ID_TEXT_BYTES (ID_PREFIX_BYTES_MAX + 1 + ID_ULID_CHARS + 1) /* prefix _ ulid NUL */
#define CONFIG_FILE_BYTES_MAX 65536
#define CONFIG_LINE_BYTES_MAX 4096
#define CONFIG_VALUE_BYTES_MAX 1024
#define STRIPE_SECRETS_MAX 4      /* two while rolling (24 h), twice over for two endpoints */

/* events (schemas/): what one message may hold */
#define EVENT_VALUE_BYTES_MAX 65536    /* 100 agent events of ≤ 1,000 characters do not share one message */
#define EVENT_STRING_BYTES_MAX 4096    /* 1,000 characters of four UTF-8 bytes each, and a little */
#define EVENT_FIELDS_MAX 64            /* entries of a payload map, unknown ones included */
#define EVENT_DEPTH_MAX 8              /* nesting that skipping an unknown field follows */
#define EVENT_HEADERS_MAX 16
#define EVENT_TYPE_BYTES_MAX 64

/* JSON from outside */
#define JSON_DEPTH_MAX 64              /* Stripe's deepest fixture has 11 */

/* HTTP (ingress/net) */
#define HTTP_HEAD_BYTES_MAX 16384      /* request line and headers together; nginx: 4 × 8 KiB */
#define HTTP_HEADERS_MAX 64
#define HTTP_TARGET_BYTES_MAX 2048
#define HTTP_CHUNK_LINE_BYTES_MAX 256  /* size, extensions and CRLF of one chunk */
#define HTTP_TRAILER_BYTES_MAX 4096
#define HTTP_RESPONSE_HEAD_BYTES_MAX 2048
#define HTTP_PIPELINE_BYTES_MAX 65536  /* read ahead of the request under way */

/* the webhook */
#define WEBHOOK_BODY_BYTES_MAX 524288  /* the largest Stripe event known is below 256 KiB */
#define STRIPE_SIGNATURE_HEADER_BYTES_MAX 4096
#define STRIPE_SIGNATURES_MAX 16       /* v1= entries looked at; one per secret while rolling */
#define STRIPE_ID_BYTES_MAX 255        /* "up to 255 characters", Stripe's upgrade notes */

/* Kafka */
#define KAFKA_BROKERS_BYTES_MAX 1024
#define KAFKA_TOPIC_BYTES_MAX 249      /* Kafka's own bound */
#define KAFKA_MESSAGE_BYTES_MAX 1000000 /* librdkafka's message.max.bytes default */
#define PUBLISH_WAITING_MAX 20000      /* requests that may wait for Kafka on one node: ≈ 0.7 s of work
                                          at 30 k/s, × 1 KiB a message = 20 MiB */
#define PARTITIONS_MAX 1024

/* workers */
#define BATCH_ITEMS_MAX 2000           /* × 65,536 B value bound = 125 MiB at the very worst */
#define WORKER_PARTITIONS_MAX 64       /* partitions one process holds at once */

#endif
