"""A vault, a policy, protection, backups, and every way back: cancel, stop, delete, undelete, resume, a guard."""

from azure.mgmt.recoveryservices import RecoveryServicesClient
from azure.mgmt.recoveryservices import models as vaults
from azure.mgmt.recoveryservicesbackup import RecoveryServicesBackupClient
from azure.mgmt.recoveryservicesbackup import models as m

from azure_sim import FABRIC, GROUP, OF_MACHINES, VAULT, accepted, completed, expect, finished, job_of, refused, until


def backup_of(t):
    return t.client(RecoveryServicesBackupClient)


def guard_of(t):
    return f"{t.group('rg-safe')}/providers/Microsoft.DataProtection/resourceGuards/second-eyes"


def policy_id(t, name="nightly"):
    return f"{t.group(GROUP)}/providers/Microsoft.RecoveryServices/vaults/{VAULT}/backupPolicies/{name}"


def vault(t):
    client = t.client(RecoveryServicesClient)
    made = client.vaults.begin_create_or_update(
        GROUP,
        VAULT,
        vaults.Vault(
            location="westeurope",
            sku=vaults.Sku(name="RS0", tier="Standard"),
            properties=vaults.VaultProperties(
                public_network_access="Enabled",
                redundancy_settings=vaults.VaultPropertiesRedundancySettings(
                    standard_tier_storage_redundancy="GeoRedundant", cross_region_restore="Disabled"
                ),
            ),
        ),
    ).result()
    expect(made.properties.provisioning_state == "Succeeded", made.properties.provisioning_state)
    crossing = vaults.VaultPropertiesRedundancySettings(standard_tier_storage_redundancy="GeoRedundant", cross_region_restore="Enabled")
    client.vaults.begin_update(
        GROUP, VAULT, vaults.PatchVault(properties=vaults.VaultProperties(redundancy_settings=crossing))
    ).result()
    kept = client.vaults.get(GROUP, VAULT).properties.redundancy_settings
    expect(kept.cross_region_restore == "Enabled", f"cross-region restore is {kept.cross_region_restore}")
    stored = backup_of(t).backup_resource_storage_configs_non_crr.get(VAULT, GROUP).properties
    expect(stored.storage_type == "GeoRedundant" and stored.cross_region_restore_flag, f"{stored}")
    return f"{kept.standard_tier_storage_redundancy}, cross-region restore {kept.cross_region_restore}"


def policy(t):
    # Half an hour before the simulated world begins: no scheduled backup meets those that are asked for.
    at = "2024-01-01T07:30:00Z"
    days = lambda count, kind: m.RetentionDuration(count=count, duration_type=kind)
    sundays = m.WeeklyRetentionFormat(days_of_the_week=["Sunday"], weeks_of_the_month=["First"])
    made = backup_of(t).protection_policies.create_or_update(
        VAULT,
        GROUP,
        "nightly",
        m.ProtectionPolicyResource(
            properties=m.AzureIaaSVMProtectionPolicy(
                time_zone="UTC",
                instant_rp_retention_range_in_days=5,
                schedule_policy=m.SimpleSchedulePolicy(schedule_run_frequency="Daily", schedule_run_times=[at]),
                retention_policy=m.LongTermRetentionPolicy(
                    daily_schedule=m.DailyRetentionSchedule(retention_times=[at], retention_duration=days(200, "Days")),
                    monthly_schedule=m.MonthlyRetentionSchedule(
                        retention_schedule_format_type="Weekly",
                        retention_schedule_weekly=sundays,
                        retention_times=[at],
                        retention_duration=days(60, "Months"),
                    ),
                ),
            )
        ),
    )
    listed = [found.name for found in backup_of(t).backup_policies.list(VAULT, GROUP, filter=OF_MACHINES)]
    expect(made.properties.retention_policy.monthly_schedule.retention_duration.count == 60, "the monthly rule is lost")
    expect("nightly" in listed and len(listed) == 3, f"policies {listed}")
    return ", ".join(sorted(listed))


def item_of(t, machine="api-01"):
    """A machine's item. This SDK looks at one level of its discriminators and calls it a ProtectedItem: the type is said here."""
    return m.AzureIaaSComputeVMProtectedItem(backup_of(t).protected_items.get(*t.item(machine)).properties)


def put(t, machine="api-01", **what):
    """The item as it is when a PUT has been carried out."""
    properties = m.AzureIaaSComputeVMProtectedItem(source_resource_id=t.machine(machine), **what)
    backup = backup_of(t)
    job = completed(backup, lambda **more: backup.protected_items.begin_create_or_update(
        *t.item(machine), m.ProtectedItemResource(properties=properties), **more))[0]
    return item_of(t, machine), job.operation


def protect(t):
    backup = backup_of(t)
    refreshed = accepted(lambda **more: backup.protection_containers.refresh(VAULT, GROUP, FABRIC, filter=OF_MACHINES, **more))
    # This result has no body in the SDK: an answer at all is the end of it.
    backup.protection_container_refresh_operation_results.get(VAULT, GROUP, FABRIC, refreshed)
    offered = until(lambda: [found.properties.friendly_name for found in backup.backup_protectable_items.list(VAULT, GROUP, filter=OF_MACHINES)],
                    "a machine to protect")
    expect(set(offered) == {"api-01", "win-01"}, f"offered {offered}")
    # One by the SDK's own poller, which reads the item from where the operation ends; one by its job.
    item = backup.protected_items.begin_create_or_update(
        *t.item("win-01"),
        m.ProtectedItemResource(
            properties=m.AzureIaaSComputeVMProtectedItem(source_resource_id=t.machine("win-01"), policy_id=policy_id(t))
        ),
    ).result()
    expect(item.properties["protectionState"] == "IRPending", f"win-01 is {item.properties}")
    state, operation = put(t, policy_id=policy_id(t))
    expect(state.protection_state == "IRPending" and state.policy_id.lower() == policy_id(t).lower(), f"{state.protection_state}")
    return f"{operation}, {state.protection_state}"


def chosen_disks(t):
    """The machine with one of its data disks, then with all again."""
    choice = lambda luns, included: m.ExtendedProperties(
        disk_exclusion_properties=m.DiskExclusionProperties(disk_lun_list=luns, is_inclusion_list=included))
    chosen, _ = put(t, policy_id=policy_id(t), extended_properties=choice([0], True))
    kept = chosen.extended_properties.disk_exclusion_properties
    expect(kept.disk_lun_list == [0] and kept.is_inclusion_list, f"{kept}")
    whole, _ = put(t, policy_id=policy_id(t), extended_properties=choice([], False))
    expect(not (whole.extended_properties and whole.extended_properties.disk_exclusion_properties), f"{whole.extended_properties}")
    return f"lun {kept.disk_lun_list}, then all"


def back_up(t, machine="api-01"):
    backup = backup_of(t)
    request = m.BackupRequestResource(properties=m.IaasVMBackupRequest(recovery_point_expiry_time_in_utc="2027-11-24T08:00:00Z"))
    job, tasks = completed(backup, lambda **more: backup.backups.trigger(*t.item(machine), request, **more))
    bag = job.extended_info.property_bag
    expect({"Take Snapshot", "Transfer data to vault"} <= set(tasks), f"{tasks}")
    expect(bag["VM Name"] == machine and "Backup Size" in bag, f"{bag}")
    return f"{job.operation} after {job.duration}, {bag['Backup Size']}"


def back_up_both(t):
    back_up(t, "win-01")
    return back_up(t)


def points_of(t, machine="api-01"):
    return list(backup_of(t).recovery_points.list(*t.item(machine)))


def points(t):
    found = points_of(t)
    one = backup_of(t).recovery_points.get(*t.item(), found[0].name).properties
    tiers = {tier.type: tier.status for tier in one.recovery_point_tier_details}
    expect(tiers == {"InstantRP": "Valid", "HardenedRP": "Valid"}, f"{tiers}")
    expect(one.os_type == "Linux" and one.is_managed_virtual_machine and not one.is_instant_ilr_session_active, f"{one}")
    return f"{len(found)} points, {one.recovery_point_type}, {tiers}"


def jobs(t):
    found = [job.properties for job in backup_of(t).backup_jobs.list(VAULT, GROUP, filter="operation eq 'Backup' and status eq 'Completed'")]
    expect(len(found) == 2 and all(job.extended_info is None for job in found), f"{found}")
    return f"{len(found)} backups"


def cancel(t):
    backup = backup_of(t)
    request = m.BackupRequestResource(properties=m.IaasVMBackupRequest())
    with t.slowly():
        job = job_of(backup, lambda **more: backup.backups.trigger(*t.item(), request, **more))
        backup.job_cancellations.trigger(VAULT, GROUP, job)
    over = finished(backup, job)
    expect(over.status == "Cancelled", f"{over.operation} {over.status}")
    tasks = [task.status for task in over.extended_info.tasks_list]
    said = refused(lambda: backup.job_cancellations.trigger(VAULT, GROUP, job), 400)
    return f"{over.status}, {tasks}, {over.error_details[0].error_string} Again: {said}"


def stop(t):
    state, operation = put(t, policy_id="", protection_state="ProtectionStopped")
    expect(state.protection_state == "ProtectionStopped" and state.policy_id == "", f"{state.protection_state} {state.policy_id!r}")
    expect(points_of(t), "the points are gone")
    return f"{operation}, {state.protection_state}"


def delete_softly(t):
    backup = backup_of(t)
    job = finished(backup, job_of(backup, lambda **more: backup.protected_items.delete(*t.item(), **more)))
    gone = item_of(t)
    expect(gone.is_scheduled_for_deferred_delete and gone.deferred_delete_time_remaining, f"{gone}")
    deleted = list(backup.deleted_protection_containers.list(GROUP, VAULT, filter=OF_MACHINES))
    expect(len(deleted) == 1 and deleted[0].properties.registration_status == "SoftDeleted", f"{deleted}")
    return f"{job.operation}, remaining {gone.deferred_delete_time_remaining}"


def undelete(t):
    state, operation = put(t, policy_id="", protection_state="ProtectionStopped", is_rehydrate=True)
    expect(not state.is_scheduled_for_deferred_delete, "the item is still deleted")
    return f"{operation}, {state.protection_state}"


def resume(t):
    state, operation = put(t, policy_id=policy_id(t))
    expect(state.protection_state == "Protected", state.protection_state)
    return f"{operation}, {state.protection_state}"


def guard(t):
    """A guard refuses to stop protection until the second person's request is named, and goes only unlocked."""
    backup, proxy = backup_of(t), "VaultProxy"
    made = backup.resource_guard_proxy.put(
        VAULT, GROUP, proxy, m.ResourceGuardProxyBaseResource(properties=m.ResourceGuardProxyBase(resource_guard_resource_id=guard_of(t)))
    )
    details = {one.vault_critical_operation: one.default_resource_request for one in made.properties.resource_guard_operation_details}
    wish = next(one for name, one in details.items() if name.endswith("#stopProtectionWithRetainData"))
    stopped = dict(policy_id="", protection_state="ProtectionStopped")
    refused(lambda: put(t, "win-01", **stopped), 403)
    put(t, "win-01", resource_guard_operation_requests=[wish], **stopped)
    put(t, "win-01", policy_id=policy_id(t))
    unlock = next(one for name, one in details.items() if name.endswith("/backupResourceGuardProxies/delete"))
    until_when = backup.resource_guard_proxy.unlock_delete(
        VAULT, GROUP, proxy, m.UnlockDeleteRequest(resource_guard_operation_requests=[unlock])
    ).unlock_delete_expiry_time
    backup.resource_guard_proxy.delete(VAULT, GROUP, proxy)
    left = [one for one in backup.resource_guard_proxies.get(VAULT, GROUP)]
    expect(left == [], f"{left}")
    return f"{len(details)} operations, unlocked until {until_when}"


STEPS = [
    ("a vault with geo-redundancy and cross-region restore", vault),
    ("a policy", policy),
    ("protection", protect),
    ("some disks chosen for it, then all", chosen_disks),
    ("backups, to the end of their jobs", back_up_both),
    ("a recovery point", points),
    ("jobs of the vault", jobs),
    ("a backup cancelled", cancel),
    ("stopped, points retained", stop),
    ("deleted softly", delete_softly),
    ("undeleted", undelete),
    ("resumed", resume),
    ("a resource guard", guard),
]
