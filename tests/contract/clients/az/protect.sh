# A vault, protection, backups, and every way back. Read by tour.sh.

log_in() {
  az config set core.instance_discovery=false core.encrypt_token_cache=false
  az cloud register -n sim --endpoint-resource-manager "$ORIGIN"
  az cloud set -n sim
  az login --service-principal -u "$CLIENT_ID" -p "$CLIENT_SECRET" --tenant "$TENANT" >/dev/null
  az account show --query id
}

create_vault() {
  local this=(-g "$group" -n "$name")
  az backup vault create "${this[@]}" -l westeurope --query properties.provisioningState
  az backup vault backup-properties set "${this[@]}" --backup-storage-redundancy GeoRedundant --cross-region-restore-flag true >/dev/null
  expect "cross-region restore" Enabled "$(az backup vault show "${this[@]}" --query properties.redundancySettings.crossRegionRestore)"
  az backup vault backup-properties show "${this[@]}" --query '[0].properties.storageType'
}

policy() {
  out=json az backup policy show "${vault[@]}" -n DefaultPolicy >"$work/policy.json"
  # Half an hour before the simulated world begins: no scheduled backup meets those that are asked for.
  python3 - "$work/policy.json" <<'PY'
import json, sys
path = sys.argv[1]
policy = json.load(open(path))
at = ["2024-01-01T07:30:00+00:00"]
kept = policy["properties"]["retentionPolicy"]
policy["properties"]["schedulePolicy"]["scheduleRunTimes"] = at
kept["dailySchedule"] = {"retentionTimes": at, "retentionDuration": {"count": 200, "durationType": "Days"}}
kept["monthlySchedule"] = {
    "retentionScheduleFormatType": "Weekly",
    "retentionScheduleWeekly": {"daysOfTheWeek": ["Sunday"], "weeksOfTheMonth": ["First"]},
    "retentionTimes": at,
    "retentionDuration": {"count": 60, "durationType": "Months"},
}
json.dump(policy, open(path, "w"))
PY
  az backup policy create "${vault[@]}" -n nightly --backup-management-type AzureIaasVM --policy @"$work/policy.json" >/dev/null
  expect policies 3 "$(az backup policy list "${vault[@]}" --backup-management-type AzureIaasVM --query 'length(@)')"
  az backup policy show "${vault[@]}" -n nightly --query properties.retentionPolicy.monthlySchedule.retentionDuration.count
}

# item_shows QUERY: of the machine's item.
item_shows() {
  az backup item show "${vault[@]}" -c api-01 -n api-01 --backup-management-type AzureIaasVM --workload-type VM --query "$1"
}

protect() {
  local before vm
  before=$(az backup protection check-vm --vm api-01 -g rg-shop)
  expect before "" "$before"
  for vm in api-01 win-01; do
    vm=$(az vm show -g rg-shop -n "$vm" --query id)
    expect job Completed "$(az backup protection enable-for-vm "${vault[@]}" --vm "$vm" -p nightly --query properties.status)"
  done
  expect after "*/vaults/$name" "$(az backup protection check-vm --vm api-01 -g rg-shop)"
  az backup item list "${vault[@]}" --query '[].properties.protectionState' | paste -sd,
}

back_up() {
  local job other
  other=$(az backup protection backup-now "${vault[@]}" "${other_item[@]}" --query name)
  job=$(az backup protection backup-now "${vault[@]}" "${item[@]}" --retain-until 24-11-2027 --query name)
  until_job "$job" Completed
  until_job "$other" Completed
  az backup job show "${vault[@]}" -n "$job" --query "join(', ', properties.extendedInfo.tasksList[].taskId)"
}

points() {
  az backup recoverypoint list "${vault[@]}" "${item[@]}" --query "[0].name" >"$work/point"
  expect "the tier" SnapshotAndVaultStandard "$(az backup recoverypoint list "${vault[@]}" "${item[@]}" --tier SnapshotAndVaultStandard --query '[0].tierType')"
  expect "points in the archive" 0 "$(az backup recoverypoint list "${vault[@]}" "${item[@]}" --tier VaultArchive --query 'length(@)')"
  az backup recoverypoint show "${vault[@]}" "${item[@]}" -n "$(cat "$work/point")" --query properties.recoveryPointType
}

chosen_disks() {
  local chosen="properties.extendedProperties.diskExclusionProperties" kept
  az backup protection update-for-vm "${vault[@]}" -c api-01 -i api-01 --disk-list-setting include --diskslist 0 --query properties.status
  kept=$(item_shows "join(' ', [to_string($chosen.diskLunList), to_string($chosen.isInclusionList)])")
  expect disks '\[0\] true' "$kept"
  az backup protection update-for-vm "${vault[@]}" -c api-01 -i api-01 --disk-list-setting resetexclusionsettings --query properties.status
  kept=$(item_shows "$chosen")
  expect disks "" "$kept"
  az backup container list "${vault[@]}" --backup-management-type AzureIaasVM --query '[].properties.friendlyName' | sort | paste -sd,
}

begin_and_stop() {
  az "$@" --query name >"$work/job" && az backup job stop "${vault[@]}" -n "$(cat "$work/job")"
}

cancel() {
  slowly begin_and_stop backup protection backup-now "${vault[@]}" "${item[@]}" --retain-until 24-11-2027
  until_job "$(cat "$work/job")" Cancelled
  az backup job list "${vault[@]}" --status Cancelled --query '[0].properties.operation'
}

stop_protection() {
  az backup protection disable "${vault[@]}" "${item[@]}" -y --query properties.operation
  item_shows properties.protectionState
}

delete_softly() {
  az backup protection disable "${vault[@]}" "${item[@]}" --delete-backup-data true -y --query properties.operation
  expect "deleted softly" true "$(item_shows properties.isScheduledForDeferredDelete)"
  az backup vault list-soft-deleted-containers -g "$group" -n "$name" --backup-management-type AzureIaasVM --query '[].properties.registrationStatus'
}

undelete() { az backup protection undelete "${vault[@]}" "${item[@]}" --query properties.operation; }

resume() {
  az backup protection resume "${vault[@]}" "${item[@]}" -p nightly --query properties.operation
  item_shows properties.protectionState
}

guard() {
  local guard="/subscriptions/$SUBSCRIPTION/resourceGroups/rg-safe/providers/Microsoft.DataProtection/resourceGuards/second-eyes"
  az backup vault resource-guard-mapping update -g "$group" -n "$name" --resource-guard-id "$guard" >/dev/null
  expect operations 10 "$(az backup vault resource-guard-mapping show -g "$group" -n "$name" --query 'length(properties.resourceGuardOperationDetails)')"
  # az names the second person's request by itself: who may read it may use it.
  az backup protection disable "${vault[@]}" "${other_item[@]}" -y >/dev/null
  az backup protection resume "${vault[@]}" "${other_item[@]}" -p nightly >/dev/null
  az backup vault resource-guard-mapping delete -g "$group" -n "$name" -y
  refused backup vault resource-guard-mapping show -g "$group" -n "$name"
}

step "logged in" log_in
step "a vault with geo-redundancy and cross-region restore" create_vault
step "a policy" policy
step "protection" protect
step "some disks chosen for it, then all" chosen_disks
step "backups, to the end of their jobs" back_up
step "a recovery point" points
step "a backup cancelled" cancel
step "stopped, points retained" stop_protection
step "deleted softly" delete_softly
step "undeleted" undelete
step "resumed" resume
step "a resource guard" guard
