/*
 * chunks_slot - how what a state waited for has ended.
 *
 * It is only noted: the turn that comes, or is under way, tells it to the transfer.  So an outcome
 * never comes at once, wherever it is noted.
 */
#include "engine/stage/chunks_parts.h"

#include "engine/source/hindrance.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool ur_chunks_is_reading(const struct ur_chunks_slot *slot)
{
	return slot->opening || ur_readahead_is_reading(&slot->ahead) ||
	       ur_window_is_looking(&slot->window);
}

void ur_chunks_conclude(struct ur_chunks_slot *slot)
{
	assert(slot->item != NULL);
	assert(!slot->concluding);
	slot->concluding = true;
	ur_window_close(&slot->window);
	ur_readahead_stop(&slot->ahead);
}

void ur_chunks_conclude_code(struct ur_chunks_slot *slot, int code, const char *what)
{
	char words[UR_HINDRANCE_TEXT];
	if (code < 0) {
		(void)snprintf(slot->words, sizeof slot->words, "%s: %s", what,
			ur_hindrance_of_reading(code, words));
	}
	slot->outcome = (struct ur_transfer_outcome){
		.result = code, .retry_ms = -1, .words = code < 0 ? slot->words : NULL};
	ur_chunks_conclude(slot);
}
