# The engine's sources, by name, in the order of the layers (base and sys stand in the Makefile).
ENGINE_SRC := \
	engine/media/container.c \
	engine/media/cut.c \
	engine/media/exif.c \
	engine/media/kind.c \
	engine/media/meta.c \
	engine/media/pair.c \
	engine/media/sidecar.c \
	engine/media/types.c \
	engine/media/when.c \
	engine/source/ignore.c \
	engine/settings.c

CLI_SRC :=
