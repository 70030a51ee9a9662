/* removal - a lease where there is one, time and a second look where there is none. */
#include "engine/source/removal.h"

#include "engine/sys/sys.h"

#include <string.h>

enum ur_writers ur_removal_writers(int fd, const struct ur_fs *fs)
{
	const int r = fs->leases == UR_LEASES_NOTHING ? -EOPNOTSUPP : ur_sys.lease(fd, true);
	if (r == -EAGAIN) {
		return UR_WRITERS_SOME;
	}
	if (r == 0 && fs->leases == UR_LEASES_PROVE) {
		return UR_WRITERS_NONE;
	}
	if (r == 0) {
		ur_removal_let(fd); // it would hold up writers here and keep none away elsewhere
	}
	return UR_WRITERS_UNKNOWN;
}

void ur_removal_let(int fd)
{
	(void)ur_sys.lease(fd, false);
}

enum ur_quiet_answer ur_removal_is_quiet(const struct ur_quiet *quiet)
{
	if (quiet->writers == UR_WRITERS_SOME) {
		return UR_QUIET_WRITER;
	}
	if (quiet->ending != UR_ENDING_WHOLE && !quiet->accepted) {
		return UR_QUIET_CUT;
	}
	return quiet->writers == UR_WRITERS_NONE || quiet->quiet_ns >= quiet->least_ns
		       ? UR_QUIET_YES
		       : UR_QUIET_TOO_NEW;
}

bool ur_removal_needs_hash(const struct ur_trust *trust)
{
	/* Who writes through a mapping changes the times only when the kernel comes round to it. */
	return trust->writers != UR_WRITERS_NONE || !trust->created || trust->there ||
	       !trust->remembered || trust->ctime_moved || (!trust->fs_trusted && !trust->fresh);
}

static int errno_of(enum ur_quiet_answer answer)
{
	switch (answer) {
	case UR_QUIET_YES:
		return 0;
	case UR_QUIET_WRITER:
		return -ETXTBSY;
	case UR_QUIET_CUT:
	case UR_QUIET_TOO_NEW:
		break;
	}
	return UR_REMOVAL_WAITS;
}

int ur_removal_hold(struct ur_removal *removal, int fd)
{
	struct ur_identity now = {0};
	/* The lease comes first: who opens it for writing from here on waits, and is seen below. */
	removal->quiet.writers = ur_removal_writers(fd, removal->fs);
	removal->trust.writers = removal->quiet.writers;
	int r = ur_identity_check(fd, removal->identity, &now);
	removal->trust.ctime_moved = !ur_identity_same(&now, removal->identity);
	/* Without a lease every change begins the wait anew. */
	if (r == 0 && removal->trust.ctime_moved && removal->quiet.writers == UR_WRITERS_UNKNOWN) {
		r = -ESTALE;
	}
	const int quiet = errno_of(ur_removal_is_quiet(&removal->quiet));
	return quiet == -ETXTBSY || r == 0 ? quiet : r;
}

static int compare_bytes(const struct ur_removal *removal, int fd)
{
	uint8_t sha1[UR_REMOVAL_SHA1];
	const int r = removal->hash(removal->context, fd, sha1);
	return r == 0 && memcmp(sha1, removal->sha1, sizeof sha1) != 0 ? -ESTALE : r;
}

/** The bytes are those that were hashed, where it takes a reading to believe it. */
static int check_bytes(const struct ur_removal *removal, int fd)
{
	return ur_removal_needs_hash(&removal->trust) ? compare_bytes(removal, fd) : 0;
}

/**
 * What was known of its writers holds still: who waits for a lease of ours to be given up counts as
 * one, also when the kernel has lost patience with us during a long hash.
 */
static int check_writers(struct ur_removal *removal, int fd)
{
	const enum ur_writers now = ur_removal_writers(fd, removal->fs);
	if (now == UR_WRITERS_SOME) {
		return -ETXTBSY;
	}
	if (now == UR_WRITERS_UNKNOWN && removal->trust.writers == UR_WRITERS_NONE) {
		return UR_REMOVAL_WAITS; // as if there had never been a lease: from the start
	}
	removal->trust.writers = now == UR_WRITERS_NONE ? removal->trust.writers : now;
	return 0;
}

int ur_removal_prove(struct ur_removal *removal, int fd)
{
	struct ur_identity staged = {0};
	struct ur_identity last = {0};
	int r = ur_identity_check(fd, removal->identity, &staged);
	r = r < 0 ? r : check_writers(removal, fd);
	r = r < 0 ? r : check_bytes(removal, fd);
	r = r < 0 ? r : check_writers(removal, fd);
	r = r < 0 ? r : ur_identity_check(fd, &staged, &last);
	return r == 0 && !ur_identity_same(&staged, &last) ? -ESTALE : r;
}

int ur_removal_prove_still(struct ur_removal *removal, int fd, const struct ur_identity *proved)
{
	struct ur_identity now = {0};
	struct ur_identity last = {0};
	int r = check_writers(removal, fd);
	r = r < 0 ? r : ur_identity_check(fd, proved, &now);
	if (r < 0 || ur_identity_same(&now, proved)) {
		return r;
	}
	r = compare_bytes(removal, fd);
	r = r < 0 ? r : check_writers(removal, fd);
	r = r < 0 ? r : ur_identity_check(fd, &now, &last);
	return r == 0 && !ur_identity_same(&now, &last) ? -ESTALE : r;
}
