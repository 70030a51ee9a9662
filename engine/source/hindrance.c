/* hindrance - a table, and the system's own words for the rest. */
#include "engine/source/hindrance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct row {
	int code;
	const char *read;  // what to do; NULL: reading does not end so
	const char *leave; // why it is not removed, and what to do; NULL: that does not end so
	const char
		*move; // the same where it is the folder that it should move to; NULL: as `leave`
};

#define SHARE_READ "look whether its share is still mounted and its server is there"
#define SHARE_LEAVE                                                                                  \
	"it cannot be removed: its share does not answer; look whether it is still mounted and its " \
	"server is there"
#define GONE_READ "its disk does not answer: look whether it is still plugged in (`dmesg`)"
#define GONE_LEAVE                                                                             \
	"it cannot be removed: its disk does not answer; look whether it is still plugged in " \
	"(`dmesg`)"
#define DAMAGED_READ "its file system is damaged: check it (fsck) before anything else"
#define DAMAGED_LEAVE                                                                        \
	"it cannot be removed: its file system is damaged; check it (fsck) before anything " \
	"else"
#define FEW_READ "let this process have more (LimitNOFILE=, MemoryMax=, `ulimit -n`)"
#define FEW_LEAVE                                                                                \
	"it could not be removed: this process may not have more open files, or memory; let it " \
	"have more (LimitNOFILE=, MemoryMax=, `ulimit -n`)"

#define CANNOT_READ "its file system cannot do that: copy it to another one"
#define CANNOT_LEAVE                                                                            \
	"it cannot be removed: its file system cannot do what that takes; import with --after " \
	"keep and remove it by hand"

static const struct row table[] = {
	{EACCES,
		"give this user the right to read it, and to pass through the folders above it (chmod, "
		"setfacl)",
		"it may not be removed: no write permission in its folder; give this user that right "
		"(chmod, setfacl), or import with --after keep",
		NULL},
	{EPERM, "a security policy forbids it, or it is another user's: look at its owner and at the log",
		"it may not be removed: the file or its folder is protected (chattr +i or +a), or it "
		"is somebody else's in a sticky folder; `lsattr` shows the first, `chattr -i -a` lifts "
		"it",
		NULL},
	{EROFS, NULL,
		"it cannot be removed: its file system is read-only; mount it writable (a card has a "
		"lock switch, a damaged disk is mounted so by itself), or import with --after keep",
		"it stays: the file system that it should move to is read-only, or its own is; mount "
		"them writable"},
	{EBUSY, "something holds it: it is tried again in a later run",
		"it cannot be removed now: something holds it, a mount point or another program; tried "
		"again in the next run",
		NULL},
	{ETXTBSY, "it is being run as a program: looked at again in the next run",
		"somebody has it open for writing: looked at again in the next run", NULL},
	{EXDEV, NULL,
		"it cannot be removed: it lies behind another mount than the folder that it is staged "
		"in; name its own folder as a source",
		NULL},
	{ENOSPC, NULL,
		"it cannot be removed: its disk is too full even for a staging folder; make a little "
		"room there",
		"the folder it should move to is full; make room there"},
	{EDQUOT, NULL,
		"it cannot be removed: its owner's quota on that disk is used up; make a little room "
		"there",
		"the folder it should move to is full (the quota of its user); make room there"},
	{EFBIG, NULL, NULL,
		"it stays: it is too large for a file of the file system that it should move to"},
	{EIO, "its disk or card gives an error there: look at `dmesg`, and copy what can still be read",
		"it could not be removed: its disk or card gives errors; look at `dmesg`, nothing "
		"more is tried there than is asked for",
		"it stays: a disk gives errors, its own or the one that it should move to; look at "
		"`dmesg`"},
	{ENAMETOOLONG, "its name or path is too long: give it a shorter one",
		"it cannot be removed: its name is too long for the staging folder; give it a shorter "
		"one",
		"it stays: its name is too long for the folder that it should move to; give it a "
		"shorter one"},
	{ESTALE, "it was replaced, or its share was mounted anew: looked at again in the next run",
		"it changed after it was sent: looked at again in the next run", NULL},
	{ELOOP, "it is a symbolic link, or a circle of them: name what it points to",
		"it stays: it, or a folder above it, was replaced by a symbolic link; looked at again "
		"in the next run",
		NULL},
	{ENOTDIR, "a folder above it was replaced: looked at again in the next run",
		"it stays: a folder above it was replaced; looked at again in the next run",
		"it stays: something that is no folder has the name of a folder where it should move "
		"to; give that another name"},
	{EEXIST, NULL, NULL,
		"it stays: all names for it are taken where it should move to; tidy up there"},
	{EMLINK, NULL, NULL,
		"it stays: there is no room for another folder where it should move to"},
	{ENOENT, NULL, NULL, "it stays: the folder that it should move to is not there any more"},
	{EMFILE, FEW_READ, FEW_LEAVE, NULL},
	{ENFILE, FEW_READ, FEW_LEAVE, NULL},
	{ENOMEM, FEW_READ, FEW_LEAVE, NULL},
	{ENOLCK, NULL,
		"it cannot be removed: its file system gives no locks, without which two runs could "
		"trip over each other; mount it with them, or import with --after keep",
		NULL},
	{EOPNOTSUPP, CANNOT_READ, CANNOT_LEAVE, NULL},
	{ENOSYS, CANNOT_READ, CANNOT_LEAVE, NULL},
	{EINVAL, NULL,
		"it cannot be removed: its file system does not take the name or the call; import with "
		"--after keep and remove it by hand",
		"it stays: the file system that it should move to does not take its name"},
	{EOVERFLOW, "its size or times do not fit: the file system may be damaged (fsck)", NULL,
		NULL},
	{EUCLEAN, DAMAGED_READ, DAMAGED_LEAVE, NULL},
	{EBADMSG, DAMAGED_READ, DAMAGED_LEAVE, NULL},
	{ENODEV, GONE_READ, GONE_LEAVE, NULL},
	{ENXIO, GONE_READ, GONE_LEAVE, NULL},
	{ENOMEDIUM, GONE_READ, GONE_LEAVE, NULL},
	{ESHUTDOWN, GONE_READ, GONE_LEAVE, NULL},
	{ENOKEY, "it is encrypted, and its key is not there: unlock its folder first",
		"it cannot be removed: its folder is encrypted, and the key is not there; unlock it",
		NULL},
	{ENOTCONN, SHARE_READ, SHARE_LEAVE, NULL},
	{ECONNABORTED, SHARE_READ, SHARE_LEAVE, NULL},
	{EHOSTDOWN, SHARE_READ, SHARE_LEAVE, NULL},
	{EHOSTUNREACH, SHARE_READ, SHARE_LEAVE, NULL},
	{ETIMEDOUT, SHARE_READ, SHARE_LEAVE, NULL},
	{EREMOTEIO, SHARE_READ, SHARE_LEAVE, NULL},
};
#define ROWS (sizeof table / sizeof *table)

static const struct row *find(int code)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (table[i].code == -code) {
			return &table[i];
		}
	}
	return NULL;
}

int ur_hindrance_listed(size_t i)
{
	return i < ROWS ? -table[i].code : 0;
}

const char *ur_hindrance_of_reading(int code, char ret[UR_HINDRANCE_TEXT])
{
	const struct row *row = find(code);
	char words[128];
	const char *system = strerror_r(-code, words, sizeof words);
	(void)snprintf(ret, UR_HINDRANCE_TEXT, "%s%s%s", system,
		row != NULL && row->read != NULL ? "; " : "",
		row != NULL && row->read != NULL ? row->read : "");
	return ret;
}

const char *ur_hindrance_of_leaving(int code, int moving, char ret[UR_HINDRANCE_TEXT])
{
	const struct row *row = find(code);
	const char *say = row == NULL ? NULL : moving && row->move != NULL ? row->move : row->leave;
	char words[128];
	if (say != NULL) {
		(void)snprintf(ret, UR_HINDRANCE_TEXT, "%s", say);
	} else {
		(void)snprintf(ret, UR_HINDRANCE_TEXT,
			"it could not be %s: %s; it is in its place, and tried again in the next run",
			moving ? "moved" : "removed", strerror_r(-code, words, sizeof words));
	}
	return ret;
}
