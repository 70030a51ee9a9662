#!/usr/bin/env bats
# Promise 4: memory depends on the settings, never on the number or the size of the files.

@test "memory stays flat from 10,000 to 50,000 files and for a video of 2 GB" {
	[ "${BUILD:-release}" = release ] || skip "a sanitizer's own memory is no measure"
	FEW=10000 MANY=50000 VIDEO=2G run "$BATS_TEST_DIRNAME/../soak/memory.sh"
	printf '# %s\n' "${lines[@]}" >&3
	[ "$status" -eq 0 ]
	[[ "$output" == *"7 passed, 0 failed"* ]]
}
