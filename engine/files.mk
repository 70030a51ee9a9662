# The engine's sources, by name, in the order of the layers (base and sys stand in the Makefile).
ENGINE_SRC := \
	engine/source/ignore.c \
	engine/settings.c

CLI_SRC :=
