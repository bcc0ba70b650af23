#include "ops/ctl/commands.h"

static const struct command_flag migrate_flags[] = {
	{"dry-run", NULL, "show what would be applied and change nothing"},
	{"dir", "FOLDER", "where the files are; migrations when not given"},
	{0},
};

static const struct command_flag account_link_flags[] = {
	{"customer", "CUSTOMER", "Stripe's id of the customer, cus_…; required"},
	{"replace", NULL, "also when the account is linked to another customer now"},
	{0},
};

static const struct command_flag reason_flags[] = {
	{"reason", "TEXT", "why, for the record: at most 200 characters, no secret"},
	{0},
};

static const struct command_flag agent_connect_flags[] = {
	{"account", "ACCOUNT", "whose agent; required"},
	{"name", "NAME", "what to call it, at most 100 characters; required"},
	{"machine", "MACHINE", "where it runs"},
	{"out", "FILE", "write the token to this new file (mode 0600) instead of the terminal"},
	{0},
};

static const struct command_flag agent_list_flags[] = {
	{"account", "ACCOUNT", "only this account's agents"},
	{0},
};

static const struct command_flag agent_revoke_flags[] = {
	{"account", "ACCOUNT", "with --all: whose agents"},
	{"all", NULL, "everything of the account, at once"},
	{"token-stdin", NULL, "the agent whose token stands on standard input, for tokens that leaked"},
	{"reason", "TEXT", "why, for the record: at most 200 characters, no secret"},
	{0},
};

static const struct command_flag agent_change_flags[] = {
	{"account", "ACCOUNT", "with --all: whose agents"},
	{"all", NULL, "everything of the account, at once"},
	{"reason", "TEXT", "why, for the record: at most 200 characters, no secret"},
	{0},
};

static const struct command_flag topics_create_flags[] = {
	{"partitions", "NUMBER", "of each topic that is made; 4 when not given"},
	{"replication", "NUMBER", "of each topic that is made; the cluster's default when not given"},
	{"dry-run", NULL, "show what there is and change nothing"},
	{0},
};

static const struct command_flag offsets_show_flags[] = {
	{"worker", "WORKER", "only this worker: subscription-sync, audit-log …"},
	{0},
};

static const struct command_flag offsets_reset_flags[] = {
	{"worker", "WORKER", "whose offset; required"},
	{"topic", "TOPIC", "in which topic, by its short or full name; required"},
	{"partition", "NUMBER", "in which partition; required"},
	{"to", "OFFSET", "earliest, latest or an offset that the log has; required"},
	{"dry-run", NULL, "show what would be done and change nothing"},
	{0},
};

static const struct command_flag log_flags[] = {
	{"program", "NAME", "only this program, by its name in admin_urls; all when not given"},
	{0},
};

static const struct command_flag dead_letter_list_flags[] = {
	{"worker", "WORKER", "only what this worker set aside"},
	{"since", "TIME", "only what was set aside from this time on"},
	{"limit", "NUMBER", "at most so many, oldest first; 10,000 when not given"},
	{0},
};

static const struct command_flag dead_letter_redrive_flags[] = {
	{"worker", "WORKER", "only what this worker set aside"},
	{"since", "TIME", "only what was set aside from this time on"},
	{"type", "TYPE", "only events of this type"},
	{"limit", "NUMBER", "send so many at most, oldest first; 10,000 when not given"},
	{"again", NULL, "also what was redriven before"},
	{"redrives-max", "NUMBER", "refuse what was redriven so often already; 3 when not given"},
	{"dry-run", NULL, "show what would be sent and send nothing"},
	{0},
};

static const struct command_flag audit_replay_flags[] = {
	{"from", "TIME",
	 "from this time on, as Kafka recorded it: 2026-11-23T15:00:00Z or a date; the log's start when not given"},
	{"to", "TIME", "up to, not including, this time; now when not given"},
	{"topic", "TOPIC", "stripe, agent, spend or access; all four when not given"},
	{"account", "ACCOUNT", "only what concerns this account, by its id or its Stripe customer"},
	{"type", "TYPE", "only this type, ours (watchpost.stripe.subscription) or Stripe's (customer.deleted)"},
	{"format", "FORMAT",
	 "jsonl (when not given), csv, or msgpack: whole records, with seals, for audit verify --file"},
	{"verify", NULL, "check the hash chains and seals of what is read; msgpack always does"},
	{"public-key", "FILE", "the key that seals were signed with (PEM); seal_public_key_file when not given"},
	{0},
};

static const struct command_flag audit_verify_flags[] = {
	{"public-key", "FILE", "the key that seals were signed with (PEM); seal_public_key_file when not given"},
	{"topic", "TOPIC", "stripe, agent, spend or access; all four when not given"},
	{"file", "FILE", "check an export (audit replay --format msgpack) instead: no Kafka, no Postgres"},
	{"pin", "HASH", "the hash of a seal that was kept elsewhere; it must be among the seals"},
	{0},
};

static const struct command_flag stripe_reconcile_flags[] = {
	{"dry-run", NULL, "say what would be, and change nothing"},
	{0},
};
static const struct command_flag stripe_send_flags[] = {
	{"url", "URL", "where the ingress is, https://host:port; $WATCHPOST_URL when not given"},
	{"ca", "FILE",
	 "certificates to check the ingress by (PEM); $WATCHPOST_CA, else the machine's own, when not given"},
	{"secret-file", "FILE", "the signing secret; the first of stripe_secret_files when not given"},
	{"file", "FILE", "send this file's bytes as the body instead of a sample; - is standard input"},
	{"type", "TYPE", "type of the sample; customer.subscription.created when not given"},
	{"customer", "CUSTOMER", "the sample's customer, cus_…; a new one when not given"},
	{"subscription", "SUBSCRIPTION", "the sample's subscription, sub_…; a new one when not given"},
	{"status", "STATUS", "the subscription's status; active, or canceled where it is deleted, when not given"},
	{"account", "ACCOUNT", "the account that a checkout.session.completed is for"},
	{"created", "SECONDS", "when the event happened, in seconds since 1970; now when not given"},
	{"livemode", NULL, "a live event instead of a test event"},
	{"count", "N", "how many to send, one after the other, each with an id of its own; 1 when not given"},
	{0},
};

static const struct command_flag help_flags[] = {
	{"man", NULL, "the manual page, for docs/man/watchpostctl.1"},
	{0},
};

const struct command commands_table[] = {
	{.words = "migrate",
	 .arguments = "",
	 .summary = "bring the database to the newest schema",
	 .details = "Applies the files of migrations/ that the database does not have yet, each in a transaction "
		    "of its own, forward only. The first run writes the environment's name into the database; a "
		    "database of another environment is refused, and so is a file that changed after it was "
		    "applied. Several at once wait for each other. Needs the role that owns the database "
		    "(--postgres-dsn), which no program uses.",
	 .flags = migrate_flags,
	 .run = migrate_run},
	{.words = "topics create",
	 .arguments = "",
	 .summary = "make the environment's topics",
	 .details = "Makes the topics that are missing, with their retention and with LogAppendTime; what exists "
		    "stays as it is. From a replication of 3 on, a write needs two replicas.",
	 .flags = topics_create_flags,
	 .run = topics_create_run},
	{.words = "account create",
	 .arguments = "NAME",
	 .arguments_min = 1,
	 .arguments_max = 1,
	 .summary = "make an account",
	 .details = "Makes an account of that name, 1 to 100 characters, and shows it with its new id. Names "
		    "need not be unique.",
	 .run = account_create_run},
	{.words = "account list",
	 .arguments = "",
	 .summary = "show every account",
	 .details = "Shows every account in the order of the ids, which is the order in which they were made.",
	 .run = account_list_run},
	{.words = "account show",
	 .arguments = "ACCOUNT",
	 .arguments_min = 1,
	 .arguments_max = 1,
	 .summary = "show one account",
	 .details = "Shows the account of that id.",
	 .run = account_show_run},
	{.words = "account link",
	 .arguments = "ACCOUNT",
	 .arguments_min = 1,
	 .arguments_max = 1,
	 .summary = "say which Stripe customer pays for an account",
	 .details = "Links the account to a Stripe customer, whose subscription then decides whether it is "
		    "active. Doing it again changes nothing. Refused when the customer belongs to another "
		    "account, and, without --replace, when the account has another customer.",
	 .flags = account_link_flags,
	 .run = account_link_run},
	{.words = "account suspend",
	 .arguments = "ACCOUNT",
	 .arguments_min = 1,
	 .arguments_max = 1,
	 .summary = "refuse every agent of an account",
	 .details = "Suspends an account until account resume, whatever its subscription says. Returns when no node "
		    "accepts its agents any more, and says on how many nodes it is in force and after how long; a node "
		    "that did not show it has no lease left. Suspending again waits again.",
	 .flags = reason_flags,
	 .run = account_suspend_run},
	{.words = "account resume",
	 .arguments = "ACCOUNT",
	 .arguments_min = 1,
	 .arguments_max = 1,
	 .summary = "lift an operator's suspension",
	 .details = "Lifts what account suspend did. An account whose subscription lapsed stays suspended until that "
		    "is paid again.",
	 .flags = reason_flags,
	 .run = account_resume_run},
	{.words = "agent connect",
	 .arguments = "",
	 .summary = "connect an agent and issue its token",
	 .details = "Makes a token and keeps its SHA-256 and its first eight characters, nothing else. The token is "
		    "shown once, on a terminal, or written to the new file that --out names (mode 0600); it never "
		    "goes into a pipe. For development, tests and agents without a browser.",
	 .flags = agent_connect_flags,
	 .run = agent_connect_run},
	{.words = "agent list",
	 .arguments = "",
	 .summary = "list agents",
	 .details = "Lists agents in the order of their ids, with the first characters of their tokens.",
	 .flags = agent_list_flags,
	 .run = agent_list_run},
	{.words = "agent show",
	 .arguments = "AGENT",
	 .arguments_min = 1,
	 .arguments_max = 1,
	 .summary = "show one agent",
	 .details = "Shows one agent.",
	 .run = agent_show_run},
	{.words = "agent revoke",
	 .arguments = "[AGENT]",
	 .arguments_max = 1,
	 .summary = "end an agent's access for ever",
	 .details = "Revokes one agent, with --account and --all every agent of an account, or with --token-stdin "
		    "whoever has the token on standard input. Returns when no node accepts the token any more, and "
		    "says on how many nodes that is in force and after how long; a node that did not show it has no "
		    "lease left. Revoking again waits again. What is revoked never comes back.",
	 .flags = agent_revoke_flags,
	 .run = agent_revoke_run},
	{.words = "agent pause",
	 .arguments = "[AGENT]",
	 .arguments_max = 1,
	 .summary = "refuse an agent until it is resumed",
	 .details = "Pauses one agent, or with --account and --all every agent of an account. Returns like agent "
		    "revoke, when it is in force.",
	 .flags = agent_change_flags,
	 .run = agent_pause_run},
	{.words = "agent resume",
	 .arguments = "[AGENT]",
	 .arguments_max = 1,
	 .summary = "accept a paused agent again",
	 .details = "Resumes one agent, or with --account and --all every paused agent of an account.",
	 .flags = agent_change_flags,
	 .run = agent_resume_run},
	{.words = "node list",
	 .arguments = "",
	 .summary = "list the ingress nodes that a revoke waits for",
	 .details = "Lists every ingress process with the last access change that it has shown (behind: how many it "
		    "has not) and its last poll. A node that is gone keeps its row for ten seconds.",
	 .run = node_list_run},
	{.words = "node drain",
	 .arguments = "NODE",
	 .arguments_min = 1,
	 .arguments_max = 1,
	 .summary = "let an ingress node end in order",
	 .details = "The node learns it at its next poll and ends as after SIGTERM: it stops accepting, answers what "
		    "is under way, and takes its row away.",
	 .run = node_drain_run},
	{.words = "status",
	 .arguments = "",
	 .summary = "show the whole system on one screen",
	 .details = "Shows every program's readiness, the topics, each worker's lag, the age of the last seals "
		    "and the dead letters. Ends with the status of an unavailable part when something is not as "
		    "it should be.",
	 .run = status_run},
	{.words = "offsets show",
	 .arguments = "",
	 .summary = "show where each worker stands in each partition",
	 .details = "Shows the offset rows in Postgres beside the watermarks in Kafka. A row out of range stands "
		    "still until it is reset.",
	 .flags = offsets_show_flags,
	 .run = offsets_show_run},
	{.words = "offsets reset",
	 .arguments = "",
	 .summary = "move a worker's offset by hand",
	 .details = "Moves one offset row of the present Kafka cluster, and records who did it and from where to "
		    "where. Records in between are passed over, or read again. audit-log's offset only moves "
		    "forward: its hash chain goes on behind a recorded gap. Try it with --dry-run first, which is "
		    "refused where the reset would be. A running worker notices at its next batch.",
	 .flags = offsets_reset_flags,
	 .run = offsets_reset_run},
	{.words = "log level",
	 .arguments = "[LEVEL]",
	 .arguments_max = 1,
	 .summary = "show or set what running programs log",
	 .details = "Asks the programs that the setting admin_urls names for their log level, or sets it to "
		    "error, warn, info or debug until they start again.",
	 .flags = log_flags,
	 .run = log_level_run},
	{.words = "log trace",
	 .arguments = "[TOPICS]",
	 .arguments_max = 1,
	 .summary = "show or switch trace topics of running programs",
	 .details = "Like log level, for trace topics: http, kafka, pg, worker, stripe, comma-separated; or all, "
		    "none.",
	 .flags = log_flags,
	 .run = log_trace_run},
	{.words = "dead-letter list",
	 .arguments = "",
	 .summary = "show what workers set aside, and why",
	 .details = "Shows the records that a worker could not apply, oldest first, with the reason.",
	 .flags = dead_letter_list_flags,
	 .run = dead_letter_list_run},
	{.words = "dead-letter show",
	 .arguments = "TOPIC PARTITION OFFSET",
	 .arguments_min = 3,
	 .arguments_max = 3,
	 .summary = "show one record that was set aside",
	 .details = "Reads the record from its own topic and shows it decoded. Topics hold no secrets and no "
		    "card data.",
	 .run = dead_letter_show_run},
	{.words = "dead-letter redrive",
	 .arguments = "",
	 .summary = "send again what was set aside",
	 .details =
		 "Sends the records to their own topic again, with their own key, headers and id; workers "
		 "that had them drop them by the id. Each redrive is counted before it is sent, in Postgres and "
		 "in the record, and refused when there were too many, so that nothing goes round for ever. What was "
		 "redriven before is passed over without --again. Try it with --dry-run first, which reads and "
		 "checks the same and sends nothing.",
	 .flags = dead_letter_redrive_flags,
	 .run = dead_letter_redrive_run},
	{.words = "audit replay",
	 .arguments = "",
	 .summary = "show what the audit topics hold",
	 .details =
		 "Reads the audit topics between two times, without joining a group and up to what was there "
		 "when it began, and writes a line for each record. Records of one partition come in order; "
		 "partitions are interleaved. In csv, a cell that a spreadsheet would take for a formula begins with "
		 "an apostrophe. With --verify, or --format msgpack, the hash chains are "
		 "recomputed from the seal before the first record, and a table of verdicts goes to standard "
		 "error; ends with 4 when a record was changed.",
	 .flags = audit_replay_flags,
	 .run = audit_replay_run},
	{.words = "audit verify",
	 .arguments = "",
	 .summary = "check the audit topics against their seals",
	 .details = "Recomputes the hash chain of every partition from the records in Kafka, checks each seal's "
		    "signature and that each names the one before it, and holds the chain against the seals and "
		    "against the head in Postgres, which also covers what is not sealed yet. Where retention took the "
		    "first records it starts at the first seal behind them; those before it are "
		    "counted as unchecked, and so are those behind the last seal and the head. A partition without any "
		    "other record has that verdict. With --file it needs nothing but the export and the public key. "
		    "Ends with 4 when something is not as it was sealed, with the place in the partition's row.",
	 .flags = audit_verify_flags,
	 .run = audit_verify_run},
	{.words = "stripe send",
	 .arguments = "",
	 .summary = "sign and send Stripe events to the ingress",
	 .details = "Signs an event as Stripe does and posts it, and shows what was answered: 200 means that it "
		    "is in Kafka. Samples exist for customer.subscription.*, checkout.session.completed and "
		    "customer.deleted; any other type gets a plain object. The ingress's certificate is always "
		    "checked. Fails when an answer is not 200.",
	 .flags = stripe_send_flags,
	 .run = stripe_send_run},
	{.words = "stripe reconcile",
	 .arguments = "",
	 .summary = "take over what Stripe's API says of every subscription",
	 .details =
		 "Asks Stripe for all subscriptions, 100 at a time and at most stripe_api_rate_per_s times a second, "
		 "and brings what is kept up to date: for subscriptions from before the webhook was set up, or after "
		 "webhooks were lost. Shows each that was not the same as here. A subscription about which an event "
		 "comes meanwhile is left alone, and an end that was told here stands. Accounts' states follow. Needs "
		 "stripe_api_key_file. Try it with --dry-run first; doing it twice does no harm.",
	 .flags = stripe_reconcile_flags,
	 .run = stripe_reconcile_run},
	{.words = "version",
	 .arguments = "",
	 .summary = "show the version",
	 .details = "Shows the version that this program was built from.",
	 .without_config = true,
	 .run = version_run},
	{.words = "help",
	 .arguments = "",
	 .summary = "show every command and setting",
	 .details = "Shows every command and every setting; --man writes the manual page instead.",
	 .flags = help_flags,
	 .without_config = true,
	 .run = help_run},
};

const size_t commands_count = ARRAY_LEN(commands_table);
