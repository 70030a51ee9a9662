# The engine's sources, by name, in the order of the layers (base and sys stand in the Makefile).
ENGINE_SRC := \
	engine/sys/ring.c \
	engine/sys/ring_sync.c \
	engine/net/http.c \
	engine/net/http1.c \
	engine/net/httpd.c \
	engine/net/immich.c \
	engine/net/listen.c \
	engine/net/tus.c \
	engine/media/hash.c \
	engine/media/hash_lanes.c \
	engine/media/hash_avx512.c \
	engine/media/hash_shani.c \
	engine/media/hash_openssl.c \
	engine/media/hash_stream.c \
	engine/media/hash_xxh.c \
	engine/media/hash_xxh_avx512.c \
	engine/media/hash_xxh_avx2.c \
	engine/media/container.c \
	engine/media/cut.c \
	engine/media/exif.c \
	engine/media/kind.c \
	engine/media/meta.c \
	engine/media/pair.c \
	engine/media/sidecar.c \
	engine/media/types.c \
	engine/media/when.c \
	engine/source/folder.c \
	engine/source/ignore.c \
	engine/ledger/ledger.c \
	engine/settings.c \
	engine/run.c \
	engine/stage/scan.c \
	engine/stage/probe.c \
	engine/stage/upload.c \
	engine/stage/settle.c \
	engine/stage/decide.c \
	engine/stage/judge.c \
	engine/stage/ask.c \
	engine/stage/deliver.c \
	engine/stage/confirm.c \
	engine/stage/amend.c \
	engine/stage/book.c \
	engine/gateway/spool.c \
	engine/gateway/spool_bytes.c \
	engine/gateway/spool_files.c \
	engine/pipeline.c

CLI_SRC := \
	cli/main.c \
	cli/options.c \
	cli/connect.c \
	cli/configure.c \
	cli/report.c \
	cli/cmd_import.c \
	cli/cmd_drain.c \
	cli/cmd_ledger.c \
	cli/cmd_verify.c \
	cli/cmd_bench.c \
	cli/bench/cases.c \
	cli/bench/measure.c \
	cli/bench/plot.c \
	cli/bench/show.c \
	cli/bench/spawn.c \
	cli/bench/stage.c
