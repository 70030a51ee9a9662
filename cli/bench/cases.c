/*
 * cases - the table of what is measured.  To add a case, add an entry; to add a competitor, add a
 * line to its runners.
 *
 * A command is what a person would type.  In it stand for something of this very run:
 *
 *     {uringest} {reference} {scan_bench} {mklib}  programs  {tree} {list} {film}  what is measured
 *     {server}  the options --server …  {url} {tls} {plain}  the server, and it through nginx
 *     {ledger} {ca} {headers}  files                       {$NAME}  an environment variable
 *
 * The targets are those of the project's speed promises (bench/README.md).  Sizes are for a bench
 * of a quarter of an hour, and with --quick for one of two minutes.
 */
#include "cli/bench/measure.h"

#define KB UINT64_C(1024)
#define MB (1024 * KB)
#define GB (1024 * MB)
#define NOBODY UR_BENCH_NOBODY
#define PLANS (UR_BENCH_NEW_LEDGER | UR_BENCH_EMPTY_SERVER)
#define SENDS (UR_BENCH_NEW_LEDGER | UR_BENCH_NEW_SERVER)
#define PLAN "{uringest} plan -q {server} --ledger {ledger} "
#define IMPORT "{uringest} import -q {server} --ledger {ledger} "
#define BY_CURL                                                                    \
	"curl -fsS -o /dev/null --cacert {ca} -H @{headers} -F assetData=@{film} " \
	"-F deviceAssetId=film -F deviceId=bench "                                 \
	"-F fileCreatedAt=2024-01-01T00:00:00.000Z "                               \
	"-F fileModifiedAt=2024-01-01T00:00:00.000Z "

const struct ur_bench_case ur_bench_cases[] = {
	{
		.name = "resync",
		.what = "import again, nothing has changed",
		.size = 200000,
		.quick_size = 5000,
		.bytes = 2 * KB,
		.runners = {{"uringest", IMPORT "{tree}", UR_BENCH_KNOWN, 0, NULL},
			{"find", "find {tree} -printf '%s %T@\\n'", 0, 0, "find"},
			{"getdents+fstatat", "{reference} walk {tree}", 0, 0, NULL}},
		.claims = {{"wall, uringest / find", UR_BENCH_WALL, 0, 1, NOBODY, 1.0, NULL},
			{"CPU, uringest / getdents+fstatat", UR_BENCH_CPU, 0, 2, NOBODY, 1.3,
				NULL}},
	},
	{
		.name = "cold",
		.what = "first plan, nothing in the page cache",
		.kind = UR_BENCH_SCAN,
		.size = 200000,
		.quick_size = 10000,
		.bytes = 2 * KB,
		.runners = {{"uringest", PLAN "{tree}", PLANS | UR_BENCH_COLD, 0, NULL},
			{"open/read/close", "{reference} read {tree}", UR_BENCH_COLD, 0, NULL},
			{"… on 32 threads", "{reference} read {tree} 32", UR_BENCH_COLD, 0, NULL},
			{"scan and hash alone", "{scan_bench} {tree} {ledger}",
				PLANS | UR_BENCH_COLD, 0, NULL}},
		.claims = {{"wall, scan and hash / open/read/close", UR_BENCH_WALL, 3, 1, NOBODY,
				   0.2, NULL},
			{"wall, scan and hash / 32 threads", UR_BENCH_WALL, 3, 2, NOBODY, 0.77,
				NULL},
			{"wall, the whole plan / open/read/close", UR_BENCH_WALL, 0, 1, NOBODY, 0,
				NULL},
			{"wall, the whole plan / 32 threads", UR_BENCH_WALL, 0, 2, NOBODY, 0,
				NULL}},
	},
	{
		.name = "plan",
		.what = "first plan, all in the page cache",
		.size = 10000,
		.quick_size = 1000,
		.bytes = 100 * KB,
		.runners = {{"uringest", PLAN "{tree}", PLANS, 0, NULL},
			{"--hash=shani2", PLAN "--hash=shani2 {tree}", PLANS, 0, NULL},
			{"openssl sha1", "xargs -0 -a {list} openssl sha1", 0, 0, "openssl"},
			{"sha1sum", "xargs -0 -a {list} sha1sum", 0, 0, "sha1sum"},
			{"xargs -P2 sha1sum", "xargs -0 -n 100 -P2 -a {list} sha1sum", 0, 0,
				"sha1sum"}},
		.claims =
			{{"CPU, uringest / openssl sha1", UR_BENCH_CPU, 0, 2, NOBODY, 0.6,
				 "avx512"},
				{"CPU, --hash=shani2 / openssl sha1", UR_BENCH_CPU, 1, 2,
					NOBODY, 0.8, "shani2"},
				{"wall, uringest / xargs -P2 sha1sum", UR_BENCH_WALL, 0, 4,
					NOBODY, 0.25, NULL}},
	},
	{
		.name = "large",
		.what = "first plan of large files, all in the page cache",
		.size = 40,
		.quick_size = 4,
		.bytes = 100 * MB,
		.runners = {{"uringest", PLAN "{tree}", PLANS, 0, NULL},
			{"openssl sha1", "xargs -0 -a {list} openssl sha1", 0, 0, "openssl"}},
		.claims = {{"CPU, uringest / openssl sha1", UR_BENCH_CPU, 0, 1, NOBODY, 0.4,
			"avx512"}},
	},
	{
		.name = "import",
		.what = "first import, plain HTTP, --after keep",
		.size = 10000,
		.quick_size = 500,
		.bytes = 100 * KB,
		.runners = {{"uringest", IMPORT "{tree}", SENDS, 0, NULL},
			{"uringest plan", PLAN "{tree}", SENDS, 0, NULL},
			{"immich-go",
				"{$PEER_IMMICH_GO} upload from-folder --no-ui "
				"--server={url} --api-key=\"$IMMICH_API_KEY\" {tree}",
				SENDS, 0, "$PEER_IMMICH_GO"},
			{"Immich's CLI",
				"IMMICH_CONFIG_DIR={ledger}.cli IMMICH_INSTANCE_URL={url}/api "
				"{$PEER_IMMICH_CLI} upload --recursive {tree}",
				SENDS, 0, "$PEER_IMMICH_CLI"}},
		.claims = {{"CPU beyond the plan, ms a file", UR_BENCH_CPU_MORE, 0, 1, NOBODY, 0.12,
				   NULL},
			{"CPU, uringest / immich-go", UR_BENCH_CPU, 0, 2, NOBODY, 0, NULL},
			{"CPU, uringest / Immich's CLI", UR_BENCH_CPU, 0, 3, NOBODY, 0, NULL}},
	},
	{
		.name = "film",
		.what = "one large file through nginx",
		.kind = UR_BENCH_FILM,
		.size = GB,
		.quick_size = 128 * MB,
		.runners = {{"uringest, TLS",
				    "{uringest} import -q --server {tls} --cacert {ca} "
				    "--ledger {ledger} {film}",
				    SENDS | UR_BENCH_NGINX, 0, NULL},
			{"curl, TLS", BY_CURL "{tls}/api/assets", SENDS | UR_BENCH_NGINX, 0,
				"curl"},
			{"uringest, plain",
				"{uringest} import -q --server {plain} --ledger {ledger} {film}",
				SENDS | UR_BENCH_NGINX, 0, NULL},
			{"curl, plain", BY_CURL "{plain}/api/assets", SENDS | UR_BENCH_NGINX, 0,
				"curl"},
			{"uringest plan",
				"{uringest} plan -q --server {plain} --ledger {ledger} {film}",
				SENDS | UR_BENCH_NGINX, 0, NULL}},
		.claims = {{"CPU, uringest / curl, TLS", UR_BENCH_CPU, 0, 1, NOBODY, 1.0, NULL},
			{"peak memory, MiB", UR_BENCH_PEAK, 0, NOBODY, NOBODY, 64, NULL},
			{"CPU of the sending alone / curl, TLS", UR_BENCH_CPU_BEYOND, 0, 1, 4, 1.0,
				NULL},
			{"CPU, uringest / curl, plain", UR_BENCH_CPU, 2, 3, NOBODY, 0, NULL},
			{"CPU of the sending alone / curl, plain", UR_BENCH_CPU_BEYOND, 2, 3, 4,
				1.0, NULL}},
	},
	{
		.name = "folders-few",
		.what = "one folder, and fifty",
		.size = 5000,
		.quick_size = 5000,
		.bytes = 2 * KB,
		.runners = {{"plan, 1 folder", PLAN "{tree}", PLANS, 1, NULL},
			{"plan, 50 folders", PLAN "{tree}", PLANS, 50, NULL},
			{"again, 1 folder", IMPORT "{tree}", UR_BENCH_KNOWN, 1, NULL},
			{"again, 50 folders", IMPORT "{tree}", UR_BENCH_KNOWN, 50, NULL}},
		.claims = {{"CPU of a plan, 1 / 50 folders", UR_BENCH_CPU, 0, 1, NOBODY, 1.1, NULL},
			{"CPU of a re-sync, 1 / 50 folders", UR_BENCH_CPU, 2, 3, NOBODY, 1.1,
				NULL}},
	},
	{
		.name = "folders-many",
		.what = "one very large folder, and fifty",
		.size = 100000,
		.quick_size = 10000,
		.bytes = 2 * KB,
		.runners = {{"plan, 1 folder", PLAN "{tree}", PLANS, 1, NULL},
			{"plan, 50 folders", PLAN "{tree}", PLANS, 50, NULL}},
		.claims = {{"CPU of a plan, 1 / 50 folders", UR_BENCH_CPU, 0, 1, NOBODY, 1.1,
			NULL}},
	},
	{
		.name = "growth",
		.what = "cost of a file against their number",
		.kind = UR_BENCH_GROWTH,
		.size = 100000,
		.quick_size = 3000,
		.bytes = 2 * KB,
		.runners = {{"first plan", PLAN "{tree}", PLANS, 0, NULL},
			{"import again", IMPORT "{tree}", UR_BENCH_KNOWN, 0, NULL},
			{"find", "find {tree} -printf '%s %T@\\n'", 0, 0, "find"},
			{"getdents+fstatat", "{reference} walk {tree}", 0, 0, NULL}},
	},
	/* The last one, since its library grows. */
	{
		.name = "new",
		.what = "100 new files beside those that are known",
		.size = 200000,
		.quick_size = 5000,
		.bytes = 2 * KB,
		.runners = {{"uringest, 100 new", IMPORT "{tree}", UR_BENCH_ADD, 0, NULL},
			{"uringest, none new", IMPORT "{tree}", UR_BENCH_KNOWN, 0, NULL}},
		.claims = {{"wall, seconds more than without", UR_BENCH_WALL_MORE, 0, 1, NOBODY,
				   0.3, NULL},
			{"requests beside the uploads", UR_BENCH_REQUESTS, 0, NOBODY, NOBODY, 2,
				NULL}},
	},
	{
		.name = "folder",
		.what = "a folder of your own, first plan",
		.kind = UR_BENCH_OWN,
		.size = 1,
		.quick_size = 1,
		.runners = {{"uringest", PLAN "{tree}", PLANS, 0, NULL},
			{"--ring sync", PLAN "--ring sync {tree}", PLANS, 0, NULL},
			{"find", "find {tree} -printf '%s %T@\\n'", 0, 0, "find"},
			{"openssl sha1", "find {tree} -type f -print0 | xargs -0 openssl sha1", 0,
				0, "openssl"},
			{"xargs -P2 sha1sum",
				"find {tree} -type f -print0 | xargs -0 -n 100 -P2 sha1sum", 0, 0,
				"sha1sum"}},
		.claims = {{"CPU, uringest / openssl sha1", UR_BENCH_CPU, 0, 3, NOBODY, 0, NULL},
			{"wall, uringest / xargs -P2 sha1sum", UR_BENCH_WALL, 0, 4, NOBODY, 0,
				NULL},
			{"wall, uringest / find", UR_BENCH_WALL, 0, 2, NOBODY, 0, NULL}},
	},
	{.name = NULL},
};
