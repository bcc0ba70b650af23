/* watchpost-subscription-sync. */
#include "workers/subscription_sync/sync.h"

int main(int argc, char **argv)
{
	return worker_main(&sync_spec, argc, argv);
}
