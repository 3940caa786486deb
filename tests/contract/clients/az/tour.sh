#!/usr/bin/env bash
# Works with azure-sim as anybody at a keyboard works with Azure: az as it comes, a line a step, 1 at the first mismatch.
#
# ORIGIN, CA, ADMIN_DOOR, SUBSCRIPTION, TENANT, CLIENT_ID and CLIENT_SECRET say where and who; AZ is the program and
# AZURE_CONFIG_DIR a folder of its own. az itself waits five seconds between two looks at an operation.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export REQUESTS_CA_BUNDLE=$CA AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_ONLY_SHOW_ERRORS=true AZURE_CORE_NO_COLOR=true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

az() { "$AZ" "$@" -o "${out:-tsv}" 2>>"$work/err"; }

# step NAME FUNCTION: its last line of output is what there is to say.
step() {
  local begun=$SECONDS said failed
  : >"$work/err"
  # Not as a condition: there bash would go on after an error.
  set +e
  said=$(set -e; "$2")
  failed=$?
  set -e
  if ((failed)); then
    echo "MISMATCH at '$1': $said $(tail -c 2000 "$work/err")"
    exit 1
  fi
  echo "ok $((SECONDS - begun)) s  $1: $(tail -1 <<<"$said")"
}

# expect WHAT WANTED GOT: what is wanted may be a pattern. An az that failed says nothing; where nothing is wanted, ask it first.
expect() { [[ $3 == $2 ]] || { echo "$1: expected $2, got $3"; return 1; }; }

# until_job JOB WANTED [MORE…]: asks until the job has ended.
until_job() {
  local job=$1 wanted=$2 status; shift 2
  for _ in $(seq 100); do
    status=$(az backup job show "${vault[@]}" -n "$job" --query properties.status "$@")
    [[ $status == InProgress || $status == Cancelling ]] || break
    sleep 0.5
  done
  expect "job $job" "$wanted" "$status"
}

# refused ARGUMENTS…: az fails, and says why.
refused() {
  if az "$@" >/dev/null; then echo "az $* was not refused"; return 1; fi
  grep -o '([A-Za-z]*)' "$work/err" | tail -1
}

# turn JSON: the simulated clock, {"advance":"PT13H"} or {"factor":60}.
turn() { curl -sf "$ADMIN_DOOR/clock" -d "$1" >/dev/null; }

# slowly COMMAND…: a simulated second takes one meanwhile, however long az needs; then it is as fast as before.
slowly() {
  local factor failed=0
  factor=$(curl -sf "$ADMIN_DOOR/clock" | sed 's/.*"factor":\([0-9.]*\).*/\1/')
  turn '{"factor":1}'
  "$@" || failed=$?
  turn "{\"factor\":$factor}"
  return $failed
}

group=rg-backup name=rv-az
vault=(-g "$group" -v "$name")
item=(-c api-01 -i api-01 --backup-management-type AzureIaasVM --workload-type VM)
other_item=(-c win-01 -i win-01 --backup-management-type AzureIaasVM --workload-type VM)
short=(-c api-01 -i api-01)

. "$here/protect.sh"
. "$here/restore.sh"
