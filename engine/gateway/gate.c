/* gate - a table of entries; the newest stand first in the list of use. */
#include "engine/gateway/gate.h"

#include "engine/base/clock.h"
#include "engine/base/retry.h"
#include "engine/net/immich.h"
#include "engine/net/proof.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define BUCKETS 16384u
#define MAC 32u
#define GOOD_MS 60000
#define REFUSED_MS 5000
#define AWAY_MS 1000
#define ASKING_MAX 32u  // questions under way
#define LINE_MAX_ 1024u // questions that wait for their turn
#define GUESSES 20      // refusals before an address is slowed down
#define GUESS_MS 3000   // one is forgiven in this time
#define LANE_MAX 16u    // questions of one slow address
#define ADDRESSES 1024u
#define ANSWER_MS 15000

static_assert((BUCKETS & (BUCKETS - 1)) == 0);

enum entry_state {
	ENTRY_TOLD,   // the verdict stands until `until_ms`
	ENTRY_LINE,   // waits for its question to be asked
	ENTRY_LANE,   // the same, one a second for its address
	ENTRY_ASKING, // immich-server is asked
};

struct entry {
	uint8_t mac[MAC];
	struct entry *bucket_next;
	struct entry *newer;
	struct entry *older;
	struct entry *line_next;
	struct ur_gate *gate;
	enum entry_state state;
	enum ur_verdict verdict;
	struct ur_visitor who;
	char words[200];
	int64_t until_ms;
	bool was_good;
	unsigned address; // whose guesses it counts among
	struct ur_gate_wait *waits;
	struct question *question;
};

struct question {
	struct ur_request request;
	struct ur_post post;
	struct ur_credential credential;
	struct entry *entry;
	bool about_key;
};

struct address {
	char text[64];
	int guesses;
	int64_t since_ms;
	unsigned in_lane;
};

struct ur_gate {
	struct ur_httpd *httpd;
	struct ur_http *http;
	uint8_t secret[MAC];
	struct entry *buckets[BUCKETS];
	struct entry *newest;
	struct entry *oldest;
	size_t count;
	struct entry *line_first;
	struct entry *line_last;
	unsigned in_line;
	unsigned asking;
	uint64_t questions;
	struct address addresses[ADDRESSES];
};

static int64_t now_ms(void)
{
	return ur_clock_steady_ns() / UR_MS_NS;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void mac_of(const struct ur_gate *gate, const struct ur_credential *credential, uint8_t *ret)
{
	unsigned size = MAC;
	const unsigned char *made = HMAC(EVP_sha256(), gate->secret, sizeof gate->secret,
		(const unsigned char *)credential->line, strlen(credential->line), ret, &size);
	assert(made != NULL);
	assert(size == MAC);
}

static size_t bucket_of(const uint8_t *mac)
{
	uint32_t word = 0;
	memcpy(&word, mac, sizeof word);
	return word & (BUCKETS - 1);
}

static struct entry *find(const struct ur_gate *gate, const uint8_t *mac)
{
	struct entry *at = gate->buckets[bucket_of(mac)];
	while (at != NULL && memcmp(at->mac, mac, MAC) != 0) {
		at = at->bucket_next;
	}
	return at;
}

static void unlist(struct ur_gate *gate, struct entry *entry)
{
	*(entry->newer == NULL ? &gate->newest : &entry->newer->older) = entry->older;
	*(entry->older == NULL ? &gate->oldest : &entry->older->newer) = entry->newer;
	entry->newer = NULL;
	entry->older = NULL;
}

static void list(struct ur_gate *gate, struct entry *entry)
{
	entry->older = gate->newest;
	*(gate->newest == NULL ? &gate->oldest : &gate->newest->newer) = entry;
	gate->newest = entry;
}

static void drop(struct ur_gate *gate, struct entry *entry)
{
	struct entry **at = &gate->buckets[bucket_of(entry->mac)];
	while (*at != entry) {
		at = &(*at)->bucket_next;
	}
	*at = entry->bucket_next;
	unlist(gate, entry);
	gate->count--;
	free(entry);
}

/** Makes room: what was refused goes before what was good; nothing that is being asked for. */
static bool make_room(struct ur_gate *gate)
{
	struct entry *victim = NULL;
	int looked = 0;
	for (struct entry *at = gate->oldest; at != NULL && looked < 64; at = at->newer, looked++) {
		if (at->state == ENTRY_TOLD && (victim == NULL || !at->was_good)) {
			victim = at;
			if (!at->was_good) {
				break;
			}
		}
	}
	if (victim != NULL) {
		drop(gate, victim);
	}
	return gate->count < UR_GATE_ENTRIES_MAX;
}

static struct entry *make(struct ur_gate *gate, const uint8_t *mac)
{
	if (gate->count >= UR_GATE_ENTRIES_MAX && !make_room(gate)) {
		return NULL;
	}
	struct entry *entry = calloc(1, sizeof *entry);
	if (entry == NULL) {
		return NULL;
	}
	memcpy(entry->mac, mac, MAC);
	entry->gate = gate;
	entry->bucket_next = gate->buckets[bucket_of(mac)];
	gate->buckets[bucket_of(mac)] = entry;
	list(gate, entry);
	gate->count++;
	return entry;
}

/* ---- addresses that guess -------------------------------------------------------------------- */

/** A table without chains: addresses that collide share their guesses, which slows, never refuses. */
static unsigned address_of(struct ur_gate *gate, const char *text)
{
	uint32_t hash = 2166136261u;
	for (const char *at = text; *at != '\0'; at++) {
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	}
	const unsigned index = hash % ADDRESSES;
	struct address *address = &gate->addresses[index];
	if (strcmp(address->text, text) != 0 && address->in_lane == 0) {
		*address = (struct address){.since_ms = now_ms()};
		(void)snprintf(address->text, sizeof address->text, "%s", text);
	}
	return index;
}

static void forgive(struct address *address)
{
	const int64_t forgiven = (now_ms() - address->since_ms) / GUESS_MS;
	if (forgiven > 0) {
		address->guesses =
			forgiven >= address->guesses ? 0 : address->guesses - (int)forgiven;
		address->since_ms += forgiven * GUESS_MS;
	}
}

/* ---- the questions --------------------------------------------------------------------------- */

static void tell(struct entry *entry, int64_t for_ms)
{
	struct ur_gate_wait *wait = entry->waits;
	entry->waits = NULL;
	entry->state = ENTRY_TOLD;
	entry->until_ms = now_ms() + for_ms;
	while (wait != NULL) {
		struct ur_gate_wait *next = wait->next;
		wait->told(wait, entry->verdict, &entry->who, entry->words);
		wait = next;
	}
}

static void conclude(
	struct entry *entry, enum ur_verdict verdict, const char *words, int64_t for_ms)
{
	struct address *address = &entry->gate->addresses[entry->address];
	entry->verdict = verdict;
	entry->was_good =
		verdict == UR_VERDICT_IN || (entry->was_good && verdict == UR_VERDICT_AWAY);
	(void)snprintf(entry->words, sizeof entry->words, "%s", words);
	if (verdict == UR_VERDICT_UNKNOWN) {
		forgive(address);
		address->guesses += address->guesses < 10 * GUESSES ? 1 : 0;
	}
	tell(entry, for_ms);
}

static void free_question(struct question *question)
{
	OPENSSL_cleanse(&question->credential, sizeof question->credential);
	OPENSSL_cleanse(question->request.header, sizeof question->request.header);
	ur_request_done(&question->request);
	free(question);
}

static void submit(struct question *question, const char *path);
static void ask_next(struct ur_gate *gate);

/** Reads an answer; true when another question follows. */
static bool read_answer(struct question *question)
{
	struct entry *entry = question->entry;
	const struct ur_request *request = &question->request;
	const char *answer = ur_text_get(&request->answer);
	struct ur_server said = {0};
	/* A page of what stands before the server says nothing about anybody's key. */
	const bool own = ur_proof_is_own(request);
	if (!own || ur_retry_may_pass(request->result, request->status)) {
		conclude(entry, UR_VERDICT_AWAY,
			"immich-server does not answer at present; try again in a moment", AWAY_MS);
	} else if (request->status == 401) {
		conclude(entry, UR_VERDICT_UNKNOWN,
			"immich-server does not know this key or session", REFUSED_MS);
	} else if (request->status == 403) {
		conclude(entry, UR_VERDICT_FORBIDDEN,
			"this key lacks the permission user.read: make one with user.read, "
			"asset.upload, asset.read and asset.download",
			REFUSED_MS);
	} else if (question->about_key) {
		const bool good =
			request->status == 200 && ur_immich_read_key(answer, &said, NULL) == 0;
		entry->who.may_upload = good && said.may_upload;
		entry->who.may_read = good && said.may_read;
		entry->who.may_download = good && said.may_download;
		conclude(entry, good ? UR_VERDICT_IN : UR_VERDICT_AWAY,
			good ? "" : "immich-server does not say what this key may do", GOOD_MS);
	} else if (request->status != 200 || ur_immich_read_user(answer, &said, NULL) < 0) {
		conclude(entry, UR_VERDICT_AWAY, "immich-server does not say who this is", AWAY_MS);
	} else {
		memcpy(entry->who.user, said.user_id, sizeof entry->who.user);
		if (question->credential.is_key) {
			return true;
		}
		entry->who.may_upload = true;
		entry->who.may_read = true;
		entry->who.may_download = true;
		conclude(entry, UR_VERDICT_IN, "", GOOD_MS);
	}
	return false;
}

static void on_answer(struct ur_post *post)
{
	struct question *question =
		(struct question *)((char *)post - offsetof(struct question, post));
	struct entry *entry = question->entry;
	struct ur_gate *gate = entry->gate;
	if (!question->about_key) {
		entry->question = question;
		if (read_answer(question)) {
			question->about_key = true;
			submit(question, "/api/api-keys/me");
			return;
		}
	} else {
		(void)read_answer(question);
	}
	entry->question = NULL;
	gate->asking--;
	free_question(question);
	ask_next(gate);
}

static void answered(struct ur_request *request)
{
	struct question *question = request->owner;
	question->post.run = on_answer;
	ur_httpd_post(question->entry->gate->httpd, &question->post);
}

static void submit(struct question *question, const char *path)
{
	struct ur_text answer = question->request.answer;
	ur_text_clear(&answer);
	question->request = (struct ur_request){
		.method = "GET",
		.path = path,
		.answer_wait_ms = ANSWER_MS,
		.answer_max = 256u << 10,
		.done = answered,
		.owner = question,
		.answer = answer,
	};
	(void)snprintf(question->request.header[0], sizeof question->request.header[0], "%s",
		question->credential.line);
	question->entry->gate->questions++;
	ur_http_submit(question->entry->gate->http, &question->request);
}

static void ask_next(struct ur_gate *gate)
{
	while (gate->asking < ASKING_MAX && gate->line_first != NULL) {
		struct entry *entry = gate->line_first;
		gate->line_first = entry->line_next;
		gate->line_last = gate->line_first == NULL ? NULL : gate->line_last;
		gate->in_line--;
		entry->line_next = NULL;
		entry->state = ENTRY_ASKING;
		gate->asking++;
		submit(entry->question, "/api/users/me");
	}
}

static void into_line(struct entry *entry)
{
	struct ur_gate *gate = entry->gate;
	entry->state = ENTRY_LINE;
	entry->line_next = NULL;
	*(gate->line_last == NULL ? &gate->line_first : &gate->line_last->line_next) = entry;
	gate->line_last = entry;
	gate->in_line++;
	ask_next(gate);
}

static void give_up(struct entry *entry, const char *words)
{
	free_question(entry->question);
	entry->question = NULL;
	conclude(entry, UR_VERDICT_BUSY, words, 0);
}

/** One of an address's that wait in its slow lane, picked by chance. */
static struct entry *any_in_lane(struct ur_gate *gate, unsigned address)
{
	uint8_t dice = 0;
	struct entry *found = NULL;
	unsigned seen = 0;
	if (getrandom(&dice, sizeof dice, 0) != sizeof dice) {
		dice = 0; // then it is the newest
	}
	for (struct entry *at = gate->newest; at != NULL; at = at->older) {
		if (at->state == ENTRY_LANE && at->address == address) {
			found = at;
			if (seen++ == dice % LANE_MAX) {
				break;
			}
		}
	}
	return found;
}

static void into_lane(struct entry *entry)
{
	struct ur_gate *gate = entry->gate;
	struct address *address = &gate->addresses[entry->address];
	if (address->in_lane >= LANE_MAX) {
		struct entry *unlucky = any_in_lane(gate, entry->address);
		assert(unlucky != NULL);
		address->in_lane--;
		give_up(unlucky,
			"too many unknown keys came from this address; try again in a few seconds");
	}
	entry->state = ENTRY_LANE;
	address->in_lane++;
}

void ur_gate_tick(struct ur_gate *gate)
{
	bool moved[ADDRESSES] = {false};
	for (struct entry *at = gate->oldest; at != NULL; at = at->newer) {
		if (at->state == ENTRY_LANE && !moved[at->address]) {
			moved[at->address] = true;
			gate->addresses[at->address].in_lane--;
			into_line(at);
		}
	}
}

static void refuse(struct ur_gate_wait *wait, const char *words)
{
	const struct ur_visitor nobody = {0};
	wait->told(wait, UR_VERDICT_BUSY, &nobody, words);
}

/** A question about `credential` gets under way. */
static void begin(struct entry *entry, const struct ur_credential *credential, const char *from)
{
	struct ur_gate *gate = entry->gate;
	struct question *question = calloc(1, sizeof *question);
	if (question == NULL || gate->in_line >= LINE_MAX_) {
		free(question);
		conclude(entry, UR_VERDICT_BUSY, "the gateway is busy; try again in a moment", 0);
		return;
	}
	question->credential = *credential;
	question->entry = entry;
	entry->question = question;
	entry->address = address_of(gate, from);
	struct address *address = &gate->addresses[entry->address];
	forgive(address);
	if (address->guesses >= GUESSES && !entry->was_good) {
		into_lane(entry);
	} else {
		into_line(entry);
	}
}

void ur_gate_ask(struct ur_gate *gate, const struct ur_credential *credential, const char *address,
	struct ur_gate_wait *wait)
{
	uint8_t mac[MAC];
	mac_of(gate, credential, mac);
	struct entry *entry = find(gate, mac);
	if (entry == NULL) {
		entry = make(gate, mac);
		if (entry == NULL) {
			refuse(wait, "the gateway is busy; try again in a moment");
			return;
		}
	} else if (entry->state == ENTRY_TOLD && now_ms() < entry->until_ms) {
		wait->told(wait, entry->verdict, &entry->who, entry->words);
		return;
	}
	unlist(gate, entry);
	list(gate, entry);
	const bool first = entry->waits == NULL;
	wait->next = entry->waits;
	entry->waits = wait;
	if (first) {
		begin(entry, credential, address);
	}
}

void ur_gate_forget(struct ur_gate *gate, const struct ur_credential *credential)
{
	uint8_t mac[MAC];
	mac_of(gate, credential, mac);
	struct entry *entry = find(gate, mac);
	if (entry != NULL && entry->state == ENTRY_TOLD) {
		entry->until_ms = 0;
		entry->was_good = false;
	}
}

uint64_t ur_gate_questions(const struct ur_gate *gate)
{
	return gate->questions;
}

int ur_gate_new(
	struct ur_httpd *httpd, struct ur_http *http, struct ur_gate **ret, struct ur_err *err)
{
	struct ur_gate *gate = calloc(1, sizeof *gate);
	if (gate == NULL) {
		return ur_err_set(err, -ENOMEM, UR_FAULT_WORLD, "cannot remember who is who");
	}
	if (getrandom(gate->secret, sizeof gate->secret, 0) != sizeof gate->secret) {
		free(gate);
		return ur_err_set(err, -EIO, UR_FAULT_WORLD, "no random numbers");
	}
	gate->httpd = httpd;
	gate->http = http;
	*ret = gate;
	return 0;
}

struct ur_gate *ur_gate_free(struct ur_gate *gate)
{
	if (gate == NULL) {
		return NULL;
	}
	for (struct entry *at = gate->newest; at != NULL;) {
		struct entry *older = at->older;
		if (at->question != NULL) {
			free_question(at->question);
		}
		free(at);
		at = older;
	}
	OPENSSL_cleanse(gate->secret, sizeof gate->secret);
	free(gate);
	return NULL;
}

/* ---- what a request carries ------------------------------------------------------------------ */

/** One word of what a header may hold and we would send on. */
static bool is_word(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!isgraph((unsigned char)text[i])) {
			return false;
		}
	}
	return size > 0 && size < UR_CREDENTIAL_MAX - 40;
}

static bool take(struct ur_credential *ret, const char *name, const char *text, size_t size)
{
	if (text == NULL || !is_word(text, size)) {
		return false;
	}
	(void)snprintf(ret->line, sizeof ret->line, "%s%.*s", name, (int)size, text);
	return true;
}

/** "http://host" or "https://host" against the Host that was asked for. */
static bool is_own_origin(const struct ur_exchange *x)
{
	const char *site = ur_exchange_field(x, "sec-fetch-site");
	const char *origin = ur_exchange_field(x, "origin");
	const char *host = ur_exchange_field(x, "host");
	if (site != NULL) {
		return strcmp(site, "same-origin") == 0;
	}
	const char *name = origin == NULL ? NULL : strstr(origin, "://");
	return name != NULL && host != NULL && strcasecmp(name + 3, host) == 0;
}

static bool take_cookie(struct ur_credential *ret, const struct ur_exchange *x)
{
	static const char name[] = "immich_access_token=";
	const char *at = ur_exchange_field(x, "cookie");
	while (at != NULL && is_own_origin(x)) {
		at += strspn(at, " ;");
		const size_t size = strcspn(at, ";");
		if (strncmp(at, name, sizeof name - 1) == 0) {
			return take(ret, "x-immich-user-token: ", at + sizeof name - 1,
				size - (sizeof name - 1));
		}
		at = at[size] == '\0' ? NULL : at + size + 1;
	}
	return false;
}

void ur_credential_of(const struct ur_exchange *x, struct ur_credential *ret)
{
	const char *key = ur_exchange_field(x, "x-api-key");
	const char *bearer = ur_exchange_field(x, "authorization");
	const char *token = ur_exchange_field(x, "x-immich-user-token");
	*ret = (struct ur_credential){0};
	if (key != NULL) {
		ret->is_key = take(ret, "x-api-key: ", key, strlen(key));
		return;
	}
	if (token != NULL) {
		(void)take(ret, "x-immich-user-token: ", token, strlen(token));
		return;
	}
	if (bearer != NULL && strncasecmp(bearer, "Bearer ", 7) == 0) {
		(void)take(ret, "Authorization: Bearer ", bearer + 7, strlen(bearer + 7));
		return;
	}
	(void)take_cookie(ret, x);
}

void ur_credential_wipe(struct ur_credential *credential)
{
	OPENSSL_cleanse(credential, sizeof *credential);
}
