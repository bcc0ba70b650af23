/* watchpost-audit-log. */
#include "workers/audit_log/ledger.h"

int main(int argc, char **argv)
{
	return worker_main(&ledger_spec, argc, argv);
}
