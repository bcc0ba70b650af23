/* `version` and `help`. */
#include "ops/ctl/commands.h"
#include "ops/ctl/help.h"

bool version_run(struct ctl *ctl, struct err *err)
{
	static const struct table_column columns[] = {{"program", TABLE_TEXT}, {"version", TABLE_TEXT}};
	struct table *table = table_new(columns, ARRAY_LEN(columns));

	table_text(table, "watchpostctl");
	table_text(table, WATCHPOST_VERSION);
	return ctl_print(ctl, table, TABLE_RECORD, err);
}

bool help_run(struct ctl *ctl, struct err *err)
{
	(void)err;
	if (ctl_switch(ctl, "man"))
		help_manual(ctl_out(ctl), commands_table, commands_count);
	else
		help_overview(ctl_out(ctl), commands_table, commands_count, true);
	return true;
}
