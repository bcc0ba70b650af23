#include "common/redact.h"

size_t redact_text(char *text, size_t len)
{
	(void)text;
	return len;
}
