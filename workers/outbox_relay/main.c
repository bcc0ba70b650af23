/* watchpost-outbox-relay. */
#include "workers/outbox_relay/relay.h"

int main(int argc, char **argv)
{
	return program_main(&relay_program, argc, argv);
}
