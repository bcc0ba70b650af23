/* watchpost-revocation-fanout. */
#include "workers/revocation_fanout/fanout.h"

int main(int argc, char **argv)
{
	return worker_main(&fanout_spec, argc, argv);
}
