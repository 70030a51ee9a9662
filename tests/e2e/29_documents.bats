#!/usr/bin/env bats
# The documents for those who run the installation: what they name is there, what they tell to type is
# understood, and what can go wrong is in them.

# Backquotes are the pages'.
# shellcheck disable=SC2016,SC2013

bats_require_minimum_version 1.5.0

setup() {
  cd "$BATS_TEST_DIRNAME/../.." || return
  PAGES=(md/immich-operations.md md/PROJECT-WORKFLOW.md md/immich-integration.md md/auth.md md/android-onboarding.md
    md/test-matrix.md md/rollout.md md/maintenance.md md/immich-integration-plan.md md/immich-plan-mapping.md)
}

# What GitHub makes of a heading.
anchors() { # FILE
  sed -nE 's/^#+ +(.*)/\1/p' "$1" | sed -E 's/\[([^]]*)\]\([^)]*\)/\1/g' | tr '[:upper:]' '[:lower:]' |
    sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

@test "every page is there, and every link leads to a page and to a heading of it" {
  local page link file anchor
  for page in "${PAGES[@]}" README.md docker/immich/README.md frontend/README.md systemd/README.md; do
    [ -s "$page" ]
    while read -r link; do
      case $link in http://* | https://* | mailto:*) continue ;; esac
      file=${link%%#*} anchor=''
      case $link in *'#'*) anchor=${link#*#} ;; esac
      file=${file:+$(dirname "$page")/$file}
      file=${file:-$page}
      [ -e "$file" ] || { echo "$page: $link: $file is not there" && return 1; }
      [ -z "$anchor" ] || anchors "$file" | grep -qxF "$anchor" || { echo "$page: $link: no such heading" && return 1; }
    done < <(grep -oE '\]\([^)]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//')
  done
}

@test "every script that a page names is there and knows the options that the page gives it" {
  local page line script option
  declare -A help
  while IFS=: read -r page line; do
    script=$(grep -oE 'scripts/[a-z-]+\.sh' <<<"$line")
    [ -x "$script" ] || { echo "$page names $script, which is not there" && return 1; }
    case $script in scripts/install.sh | scripts/deps.sh) continue ;; esac
    [ -n "${help[$script]-}" ] || help[$script]=$("$script" --help 2>&1)
    # Options up to the end of the command.
    while read -r option; do
      [ "$option" != --help ] || continue
      [[ "${help[$script]}" == *"$option"* ]] || { echo "$page: $script has no $option" && return 1; }
    done < <(sed -E "s/['\"][^'\"]*['\"]//g; s/ [|;&#].*//" <<<"$line" | grep -oE -- ' --[a-z-]+' | tr -d ' ')
  done < <(grep -oHE 'scripts/[a-z-]+\.sh[^`]*' "${PAGES[@]}" | sed -E 's/(scripts\/[a-z-]+\.sh)/\n\1/g' |
    awk -F: '/^md\// { page = $1; sub(/^[^:]*:/, ""); if ($0 == "") next } { print page ":" $0 }' | sort -u)
}

@test "uringest has the commands and options that the pages give it" {
  local uringest=build/${BUILD:-release}/uringest page line command option
  [ -x "$uringest" ] || skip "uringest is not built"
  while IFS=: read -r page command line; do
    run "$uringest" "$command" --help
    [ "$status" -eq 0 ] || { echo "$page: uringest has no $command" && return 1; }
    while read -r option; do
      [[ "$output" == *"$option"* ]] || { echo "$page: uringest $command has no $option" && return 1; }
    done < <(grep -oE -- ' --[a-z-]+' <<<"$line" | tr -d ' ')
  done < <(grep -oHE '(^|[ `])uringest (import|plan|drain|verify|status|explain|retry|forget|recover|serve|bench|undo|doctor|login|config|watch)[^a-z][^`|]*' "${PAGES[@]}" |
    sed -E 's/^([^:]*):.*uringest ([a-z]+)/\1:\2:/' | sort -u)
}

@test "every setting that a page names is in the example of the settings" {
  local name
  for name in $(grep -ohE '`(IMMICH|DB|BACKUP|MONITOR|URINGEST|CERTBOT|HEARTBEAT|LETSENCRYPT|REDIS|VALKEY|NGINX)_[A-Z_]+[=`]' "${PAGES[@]}" | tr -d '`=' | sort -u); do
    case $name in
    # What the plan had and Immich has no more; what the compose file sets; a placeholder.
    IMMICH_MACHINE_LEARNING_GPU | IMMICH_TRUSTED_PROXIES | IMMICH_) continue ;;
    esac
    grep -qE "^#?$name=" .env.immich.example || { echo "$name is in no example" && return 1; }
  done
}

@test "every finding of the monitor has its line in the runbook" {
  local name
  sed -n '/^## Alarms/,/^## Once/p' md/immich-operations.md | grep '^| `' >"$BATS_TEST_TMPDIR/alarms"
  for name in $(grep -oE '(finding (ok|warning|critical) |^ *age |disk )"?[a-z]+[a-z-]*( "\$)?' scripts/immich-monitor.sh |
    grep -vE '^disk [a-z]+$' | sed -E 's/ "\$$//; s/^ +//; s/^disk /disk-/; s/^(finding [a-z]+|age) "?//' | sort -u); do
    case $name in container-*) name=container- ;; esac
    grep -q "^| [^|]*\`$name" "$BATS_TEST_TMPDIR/alarms" || { echo "the runbook says nothing of '$name'" && return 1; }
  done
  [ "$(wc -l <"$BATS_TEST_TMPDIR/alarms")" -gt 15 ]
}

@test "every state of an upload is explained, in the words of the gateway" {
  local state
  for state in $(sed -nE 's/^\tUR_SPOOL_([A-Z]+),? .*/\1/p' engine/gateway/spool/spool.h | tr '[:upper:]' '[:lower:]'); do
    grep -q "^| $state |" md/immich-operations.md || { echo "nothing about '$state'" && return 1; }
  done
}

@test "no digest is in the pages but the one that is known" {
  run bash -c "grep -ohE 'sha256:[0-9a-f…]+' md/*.md docker/immich/*.md | grep -vE '^sha256:bcf63357(…|191b76a916ae5eb93464d65c07511da41e3bf7a8416db519b40b1c23)$'"
  [ -z "$output" ]
  grep -qF "$(grep -oE 'sha256:[0-9a-f]{64}' md/immich-integration.md | head -n 1)" docker/immich/compose.immich.yml
}

@test "the release that the pages speak of is the one that the settings name" {
  local version
  version=$(sed -n 's/^IMMICH_VERSION=//p' .env.immich.example)
  grep -qF "immich-server:$version\`" md/immich-integration.md
}
