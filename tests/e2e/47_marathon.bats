#!/usr/bin/env bats
# One large film over a bad line.  tests/soak/marathon.sh runs it with 10 GB.

load lib
load gateway
load marathon

setup() { begin; }
teardown() { finish; }

@test "a film arrives over a line that is cut, with client, gateway and nginx ended all the time" {
	run_marathon >"$T/said"
	sed 's/^/# /' "$T/said" >&3
	run_check
}
