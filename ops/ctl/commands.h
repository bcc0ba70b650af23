/*
 * The table of commands (ops/ctl/commands.c) and the functions in its rows, by family. What each does stands in its
 * row.
 */
#ifndef WATCHPOST_OPS_CTL_COMMANDS_H
#define WATCHPOST_OPS_CTL_COMMANDS_H

#include "ops/ctl/command.h"

extern const struct command commands_table[];
extern const size_t commands_count;

/* migrate.c */
MUSTCHECK bool migrate_run(struct ctl *ctl, struct err *err);

/* account.c */
MUSTCHECK bool account_create_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool account_list_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool account_show_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool account_link_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool account_suspend_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool account_resume_run(struct ctl *ctl, struct err *err);

/* agent.c */
MUSTCHECK bool agent_connect_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool agent_list_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool agent_show_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool agent_revoke_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool agent_pause_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool agent_resume_run(struct ctl *ctl, struct err *err);

/* node.c */
MUSTCHECK bool node_list_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool node_drain_run(struct ctl *ctl, struct err *err);

/* topics.c */
MUSTCHECK bool topics_create_run(struct ctl *ctl, struct err *err);

/* status.c, offsets.c, log.c, dead_letter.c, dead_letter_redrive.c */
MUSTCHECK bool status_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool offsets_show_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool offsets_reset_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool log_level_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool log_trace_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool dead_letter_list_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool dead_letter_show_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool dead_letter_redrive_run(struct ctl *ctl, struct err *err);

/* audit_replay.c, audit_verify.c */
MUSTCHECK bool audit_replay_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool audit_verify_run(struct ctl *ctl, struct err *err);

/* stripe_send.c, stripe_reconcile.c */
MUSTCHECK bool stripe_send_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool stripe_reconcile_run(struct ctl *ctl, struct err *err);

/* about.c */
MUSTCHECK bool version_run(struct ctl *ctl, struct err *err);
MUSTCHECK bool help_run(struct ctl *ctl, struct err *err);

#endif
