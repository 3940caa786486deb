# Restores of every kind with what they leave behind, file recovery, the paired region, the archive. Read by tour.sh.

point() { cat "$work/point"; }

# point_shows QUERY
point_shows() { az backup recoverypoint show "${vault[@]}" "${item[@]}" -n "$(point)" --query "$1"; }

# restore ARGUMENTS…: a restore of the point, to the end of its job, whose name is kept.
restore() {
  local job there=()
  [[ " $* " == *" --use-secondary-region "* ]] && there=(--use-secondary-region)
  job=$(az backup restore restore-disks "${vault[@]}" "${short[@]}" -r "$(point)" "$@" --query name)
  until_job "$job" Completed "${there[@]}"
  echo "$job" >"$work/job"
}

# disks GROUP
disks() { az disk list -g "$1" --query 'length(@)'; }

# bag NAME: what the last job says of the restore.
bag() { az backup job show "${vault[@]}" -n "$(cat "$work/job")" --query "properties.extendedInfo.propertyBag.\"$1\""; }

tasks() { az backup job show "${vault[@]}" -n "$(cat "$work/job")" --query "join(', ', properties.extendedInfo.tasksList[].taskId)"; }

restore_disks() {
  restore --storage-account shopstage --target-resource-group rg-restore
  expect disks 3 "$(disks rg-restore)"
  expect account shopstage "$(bag "Target Storage Account Name")"
  tasks
}

some_disks() {
  restore --storage-account shopstage --target-resource-group rg-restore --diskslist 1
  expect disks 5 "$(disks rg-restore)"
  restore --storage-account shopstage --target-resource-group rg-restore --restore-only-osdisk
  expect disks 6 "$(disks rg-restore)"
  bag "Restored disk(s)"
}

unmanaged() {
  restore --storage-account shopstage --restore-as-unmanaged-disks
  expect disks 6 "$(disks rg-restore)"
  az backup job show "${vault[@]}" -n "$(cat "$work/job")" --query 'properties.extendedInfo.tasksList[0].taskExecutionDetails'
}

by_identity() {
  local who scope="/subscriptions/$SUBSCRIPTION/resourceGroups" role
  who=$(az backup vault identity assign -g "$group" -n "$name" --system-assigned --query identity.principalId)
  for role in "Storage Blob Data Contributor=$scope/rg-backup/providers/Microsoft.Storage/storageAccounts/shopstage" "Contributor=$scope/rg-restore"; do
    az role assignment create --assignee-object-id "$who" --assignee-principal-type ServicePrincipal --role "${role%%=*}" --scope "${role#*=}" >/dev/null
  done
  restore --storage-account shopstage --target-resource-group rg-restore --mi-system-assigned
  expect disks 9 "$(disks rg-restore)"
  tasks
}

new_machine() {
  az network vnet create -g rg-restore -n vn -l westeurope --address-prefixes 10.7.0.0/16 --subnet-name s --subnet-prefixes 10.7.0.0/24 >/dev/null
  restore --storage-account shopstage --target-resource-group rg-restore --target-vm-name api-01-back \
    --target-vnet-name vn --target-vnet-resource-group rg-restore --target-subnet-name s
  expect "data disks" 2 "$(az vm show -g rg-restore -n api-01-back --query 'length(storageProfile.dataDisks)')"
  tasks
}

replace_disks() {
  local before after
  before=$(az vm show -g rg-shop -n api-01 --query storageProfile.osDisk.name)
  restore --storage-account shopstage --restore-mode OriginalLocation
  after=$(az vm show -g rg-shop -n api-01 --query storageProfile.osDisk.name)
  [[ $before != "$after" ]] || { echo "the machine has its old disk"; return 1; }
  expect "the old disk" Unattached "$(az disk show -g rg-shop -n "$before" --query diskState)"
  tasks
}

cancel_restore() {
  slowly begin_and_stop backup restore restore-disks "${vault[@]}" "${short[@]}" -r "$(point)" --storage-account shopstage --restore-as-unmanaged-disks
  until_job "$(cat "$work/job")" Cancelled
  az backup job list "${vault[@]}" --status Cancelled --query '[0].properties.operation'
}

files() {
  az backup restore files mount-rp "${vault[@]}" "${short[@]}" -r "$(point)"
  local script
  script=$(echo *.py)
  expect "the script" "#!*" "$(head -1 "$script")"
  grep -q 'TargetPassword="UserInput012345"' "$script"
  expect mounted true "$(point_shows properties.isInstantIlrSessionActive)"
  az backup restore files unmount-rp "${vault[@]}" "${short[@]}" -r "$(point)"
  expect mounted false "$(point_shows properties.isInstantIlrSessionActive)"
  echo "$script"
}

windows_files() {
  local that=(-c win-01 -i win-01) point
  point=$(az backup recoverypoint list "${vault[@]}" "${other_item[@]}" --query '[0].name')
  # az fetches the program by Python's own urllib, which asks another variable than requests does.
  SSL_CERT_FILE=$CA az backup restore files mount-rp "${vault[@]}" "${that[@]}" -r "$point"
  expect "the program" "*no program*" "$(cat ./*.exe)"
  az backup restore files unmount-rp "${vault[@]}" "${that[@]}" -r "$point"
  echo ./*.exe
}

secondary_points() {
  local points="/subscriptions/$SUBSCRIPTION/resourceGroups/$group/providers/Microsoft.RecoveryServices/vaults/$name"
  points="$points/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;rg-shop;api-01"
  points="$points/protectedItems/VM;iaasvmcontainerv2;rg-shop;api-01/recoveryPoints/?api-version=2021-11-15"
  turn '{"advance":"PT13H"}'
  az rest --url "$points" --query 'value[-1].name' >"$work/point"
  # az 2.91.0 writes into an item of the older SDK that it has for this region, and falls over itself. Versions before did not.
  if ! az backup recoverypoint list "${vault[@]}" "${item[@]}" --use-secondary-region --query '[-1].name' >"$work/listed"; then
    grep -q "object does not support item assignment" "$work/err" || return 1
    echo "$(point), by az rest"
    return
  fi
  expect "the point" "$(point)" "$(cat "$work/listed")"
  point
}

secondary_disks() {
  restore --storage-account northstage --storage-account-resource-group rg-north --target-resource-group rg-north --use-secondary-region
  expect disks 3 "$(disks rg-north)"
  az backup job list "${vault[@]}" --use-secondary-region --status Completed --query '[0].properties.operation'
}

secondary_machine() {
  az network vnet create -g rg-north -n vn -l northeurope --address-prefixes 10.8.0.0/16 --subnet-name s --subnet-prefixes 10.8.0.0/24 >/dev/null
  restore --storage-account northstage --storage-account-resource-group rg-north --target-resource-group rg-north --target-vm-name api-01-north \
    --target-vnet-name vn --target-vnet-resource-group rg-north --target-subnet-name s --use-secondary-region
  az vm show -g rg-north -n api-01-north --query location
}

archive() {
  # A point of the monthly rule, three months old.
  turn '{"advance":"PT2640H"}'
  local old="--is-ready-for-move true --target-tier VaultArchive" job
  az backup recoverypoint list "${vault[@]}" "${item[@]}" --recommended-for-archive --query '[-1].name' >"$work/point"
  expect "ready for the archive" "$(point)" "$(az backup recoverypoint list "${vault[@]}" "${item[@]}" $old --query '[-1].name')"
  job=$(az backup recoverypoint move "${vault[@]}" "${item[@]}" -n "$(point)" --source-tier VaultStandard --destination-tier VaultArchive --query name)
  until_job "$job" Completed
  expect "in the archive" "$(point)" "$(az backup recoverypoint list "${vault[@]}" "${item[@]}" --tier VaultArchive --query '[0].name')"
  restore --storage-account shopstage --target-resource-group rg-restore --rehydration-priority High --rehydration-duration 15
  az backup recoverypoint list "${vault[@]}" "${item[@]}" --tier VaultStandardRehydrated --query '[0].tierType'
}

step "disks restored" restore_disks
step "some disks restored" some_disks
step "disks restored as blobs" unmanaged
step "disks restored by the vault's own identity" by_identity
step "a new machine restored" new_machine
step "disks replaced" replace_disks
step "a restore cancelled" cancel_restore
step "files recovered" files
step "files of a Windows machine" windows_files
step "points known in the paired region" secondary_points
step "disks restored there" secondary_disks
step "a machine restored there" secondary_machine
step "the archive, there and back" archive
