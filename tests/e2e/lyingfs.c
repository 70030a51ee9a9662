/*
 * lyingfs - a FUSE file system over a folder that lies as cheap ones do.
 *
 *     every inode is 0 │ times are whole seconds │ renames with flags: EINVAL │ links: EPERM
 *     everything belongs to root, and everybody may do everything │ no extended attributes
 *
 * usage: lyingfs FOLDER MOUNTPOINT [links]    stays in the foreground; links: hard links work
 */
#define FUSE_USE_VERSION 31

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int root = -1;
static int links;

static const char *below(const char *path)
{
	return path[1] == '\0' ? "." : path + 1;
}

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static void lie(struct stat *st)
{
	st->st_ino = 0;
	st->st_uid = 0;
	st->st_gid = 0;
	st->st_mode |= 0777;
	st->st_atim.tv_nsec = 0;
	st->st_mtim.tv_nsec = 0;
	st->st_ctim.tv_nsec = 0;
}

static int lying_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	const int r = fi != NULL ? fstat((int)fi->fh, st)
				 : fstatat(root, below(path), st, AT_SYMLINK_NOFOLLOW);
	if (r == 0) {
		lie(st);
	}
	return result(r);
}

static int lying_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
	struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	const int fd = openat(root, below(path), O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry = NULL;
	(void)offset;
	(void)fi;
	(void)flags;
	if (dir == NULL) {
		return -errno;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (fill(buffer, entry->d_name, NULL, 0, 0) != 0) {
			break;
		}
	}
	(void)closedir(dir);
	return 0;
}

static int lying_mkdir(const char *path, mode_t mode)
{
	(void)mode;
	return result(mkdirat(root, below(path), 0777));
}

static int lying_unlink(const char *path)
{
	return result(unlinkat(root, below(path), 0));
}

static int lying_rmdir(const char *path)
{
	return result(unlinkat(root, below(path), AT_REMOVEDIR));
}

static int lying_rename(const char *from, const char *to, unsigned flags)
{
	return flags != 0 ? -EINVAL : result(renameat(root, below(from), root, below(to)));
}

static int lying_link(const char *from, const char *to)
{
	return !links ? -EPERM : result(linkat(root, below(from), root, below(to), 0));
}

static int lying_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	(void)mode;
	const int fd = openat(root, below(path), fi->flags | O_CREAT, 0666);
	fi->fh = (uint64_t)fd;
	return fd < 0 ? -errno : 0;
}

static int lying_open(const char *path, struct fuse_file_info *fi)
{
	const int fd = openat(root, below(path), fi->flags);
	fi->fh = (uint64_t)fd;
	return fd < 0 ? -errno : 0;
}

static int lying_read(
	const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)path;
	return result(pread((int)fi->fh, buffer, size, offset));
}

static int lying_write(
	const char *path, const char *buffer, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)path;
	return result(pwrite((int)fi->fh, buffer, size, offset));
}

static int lying_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	if (fi != NULL) {
		return result(ftruncate((int)fi->fh, size));
	}
	const int fd = openat(root, below(path), O_WRONLY);
	const int r = fd < 0 ? -errno : result(ftruncate(fd, size));
	if (fd >= 0) {
		(void)close(fd);
	}
	return r;
}

static int lying_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	(void)close((int)fi->fh);
	return 0;
}

static int lying_utimens(
	const char *path, const struct timespec times[2], struct fuse_file_info *fi)
{
	(void)fi;
	return result(utimensat(root, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int lying_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	(void)path;
	(void)mode;
	(void)fi;
	return 0; // and nothing happens
}

static void *lying_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
	(void)connection;
	config->use_ino = 1;
	config->nullpath_ok = 0;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = lying_init,
	.getattr = lying_getattr,
	.readdir = lying_readdir,
	.mkdir = lying_mkdir,
	.unlink = lying_unlink,
	.rmdir = lying_rmdir,
	.rename = lying_rename,
	.link = lying_link,
	.create = lying_create,
	.open = lying_open,
	.read = lying_read,
	.write = lying_write,
	.truncate = lying_truncate,
	.release = lying_release,
	.utimens = lying_utimens,
	.chmod = lying_chmod,
};

int main(int argc, char **argv)
{
	if (argc < 3) {
		(void)fprintf(stderr, "usage: lyingfs FOLDER MOUNTPOINT [links]\n");
		return 2;
	}
	root = open(argv[1], O_RDONLY | O_DIRECTORY);
	links = argc > 3 && strcmp(argv[3], "links") == 0;
	if (root < 0) {
		perror(argv[1]);
		return 2;
	}
	(void)umask(0);
	char foreground[] = "-f";
	char option[] = "-o";
	char allow[] = "allow_other";
	char single[] = "-s";
	char *own[] = {argv[0], foreground, single, option, allow, argv[2], NULL};
	return fuse_main(6, own, &operations, NULL);
}
