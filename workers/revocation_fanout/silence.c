#include "workers/revocation_fanout/silence.h"

void silence_begin(struct silence *silence)
{
	for (size_t i = 0; i < silence->count; i++)
		silence->nodes[i].listed = false;
}

static struct silence_node *find(struct silence *silence, struct bytes id)
{
	for (size_t i = 0; i < silence->count; i++) {
		if (bytes_equal_text(id, silence->nodes[i].id))
			return &silence->nodes[i];
	}
	return NULL;
}

bool silence_seen(struct silence *silence, struct bytes id, int64_t polls, int64_t now_ns)
{
	struct silence_node *node = find(silence, id);
	if (node == NULL) {
		if (silence->count == NODES_MAX || id.len >= ID_TEXT_BYTES)
			return false;
		node = &silence->nodes[silence->count++];
		*node = (struct silence_node){.polls = polls, .since_ns = now_ns, .listed = true};
		memcpy(node->id, id.data, id.len);
		return false;
	}
	node->listed = true;
	if (node->polls != polls) {
		node->polls = polls;
		node->since_ns = now_ns;
	}
	return now_ns - node->since_ns >= (int64_t)NODE_FORGET_MS * 1000000;
}

void silence_end(struct silence *silence)
{
	size_t kept = 0;
	for (size_t i = 0; i < silence->count; i++) {
		if (silence->nodes[i].listed)
			silence->nodes[kept++] = silence->nodes[i];
	}
	silence->count = kept;
}
