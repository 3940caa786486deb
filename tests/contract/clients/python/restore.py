"""Restores of every kind with what they leave behind, file recovery, and the archive."""

import base64

from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.network import models as networks
from azure.mgmt.recoveryservicesbackup import models as m

from azure_sim import GROUP, VAULT, accepted, completed, ended, expect, finished, job_of, refused
from protect import backup_of, points_of


def disks_of(t, group="rg-restore"):
    return {disk.name: disk for disk in t.client(ComputeManagementClient).disks.list_by_resource_group(group)}


def request(t, machine="api-01", **what):
    """A restore of disks into rg-restore, but for what is said otherwise; `None` leaves out."""
    asked = dict(
        recovery_type="RestoreDisks",
        source_resource_id=t.machine(machine),
        storage_account_id=t.account("shopstage"),
        target_resource_group_id=t.group("rg-restore"),
        region="westeurope",
        create_new_cloud_service=False,
        original_storage_account_option=False,
    )
    kind = m.IaasVMRestoreWithRehydrationRequest if "recovery_point_rehydration_info" in what else m.IaasVMRestoreRequest
    return kind(**{name: value for name, value in {**asked, **what}.items() if value is not None})


def restore(t, point, machine="api-01", **what):
    """A restore to the end of its job."""
    backup = backup_of(t)
    asked = m.RestoreRequestResource(properties=request(t, machine, recovery_point_id=point, **what))
    return completed(backup, lambda **more: backup.restores.begin_trigger(*t.item(machine), point, asked, **more))


def point_of(t, machine="api-01", tier="HardenedRP"):
    """The newest point that is whole in a tier."""
    whole = lambda one: any(held.type == tier and held.status == "Valid" for held in one.properties.recovery_point_tier_details)
    return next(one.name for one in points_of(t, machine) if whole(one))


def network(t):
    subnet = networks.Subnet(name="s", properties=networks.SubnetPropertiesFormat(address_prefix="10.7.0.0/24"))
    made = t.client(NetworkManagementClient).virtual_networks.begin_create_or_update(
        "rg-restore",
        "vn",
        networks.VirtualNetwork(
            location="westeurope",
            properties=networks.VirtualNetworkPropertiesFormat(
                address_space=networks.AddressSpace(address_prefixes=["10.7.0.0/16"]), subnets=[subnet]
            ),
        ),
    ).result()
    t.network, t.subnet = made.id, made.properties.subnets[0].id
    return made.name


def validate(t):
    """The same request is found to do, and one into an account that is not there is not."""
    backup, point = backup_of(t), point_of(t)
    path = "/".join(["backupFabrics", t.item()[2], "protectionContainers", t.item()[3], "protectedItems", t.item()[4], "recoveryPoints", point])
    point_id = f"{t.group(GROUP)}/providers/Microsoft.RecoveryServices/vaults/{VAULT}/{path}"

    def found(**what):
        asked = m.ValidateIaasVMRestoreOperationRequest(restore_request=request(t, recovery_point_id=point, **what))
        operation = accepted(lambda **more: backup.validate_operation.begin_trigger(
            VAULT, GROUP, m.ValidateOperationRequestResource(id=point_id, properties=asked), **more))
        status = backup.validate_operation_statuses.get(VAULT, GROUP, operation)
        expect(status.status == "Succeeded", f"{status}")
        return [one.code for one in status.properties.validate_operation_response.validation_results or []]

    good, bad = found(), found(storage_account_id=t.account("nowhere"))
    expect(good == [] and bad, f"{good}, {bad}")
    return f"nothing against it; into no account: {bad}"


def disks(t):
    before = disks_of(t)
    job, tasks = restore(t, point_of(t))
    bag = job.extended_info.property_bag
    new = [disk for name, disk in disks_of(t).items() if name not in before]
    expect(bag["Job Type"] == "Recover disks" and bag["Target Storage Account Name"] == "shopstage", f"{bag}")
    expect(bag["Template Blob Uri"].startswith("https://shopstage.blob.core.windows.net/"), f"{bag}")
    expect(len(new) == 3 and {disk.properties.creation_data.create_option for disk in new} == {"Restore"}, f"{[disk.name for disk in new]}")
    return f"{len(new)} disks, {tasks}, {bag['Template Blob Uri'].rsplit('/', 1)[1]}"


def some_disks(t):
    before = disks_of(t)
    restore(t, point_of(t), restore_disk_lun_list=[1])
    some = sorted(disk.properties.disk_size_gb for name, disk in disks_of(t).items() if name not in before)
    expect(some == [30, 32], f"disks of {some} GB")
    before = disks_of(t)
    job, _ = restore(t, point_of(t), restore_disk_lun_list=[])
    only = [disk for name, disk in disks_of(t).items() if name not in before]
    expect(len(only) == 1 and only[0].properties.os_type == "Linux", f"{[disk.name for disk in only]}")
    refused(lambda: restore(t, point_of(t), restore_disk_lun_list=[7]), 400)
    return f"{some} GB with lun 1; {job.extended_info.property_bag['Restored disk(s)']} alone"


def unmanaged(t):
    """Without a group the disks become blobs, which come from the vault."""
    before = disks_of(t)
    job, _ = restore(t, point_of(t), target_resource_group_id=None)
    said = job.extended_info.tasks_list[0].task_execution_details
    expect(disks_of(t).keys() == before.keys() and said.endswith("Transferred"), f"{said}")
    return said


def new_machine(t):
    target = t.machine("api-01-back", "rg-restore")
    job, tasks = restore(t, point_of(t), recovery_type="AlternateLocation", target_virtual_machine_id=target,
                         virtual_network_id=t.network, subnet_id=t.subnet)
    machine = t.client(ComputeManagementClient).virtual_machines.get("rg-restore", "api-01-back").properties
    expect("Create the restored virtual machine" in tasks, f"{tasks}")
    expect(len(machine.storage_profile.data_disks) == 2, f"{machine.storage_profile}")
    interface = machine.network_profile.network_interfaces[0].id.rsplit("/", 1)[1]
    nic = t.client(NetworkManagementClient).network_interfaces.get("rg-restore", interface).properties
    expect(nic.ip_configurations[0].properties.subnet.id == t.subnet, f"{nic}")
    return f"{job.extended_info.property_bag['Target VM Name']} with {len(machine.storage_profile.data_disks)} data disks, {tasks}"


def replace_disks(t):
    compute = t.client(ComputeManagementClient)
    old = compute.virtual_machines.get("rg-shop", "api-01").properties.storage_profile
    job, tasks = restore(t, point_of(t), recovery_type="OriginalLocation", target_resource_group_id=None)
    new = compute.virtual_machines.get("rg-shop", "api-01").properties.storage_profile
    expect(job.extended_info.property_bag["Job Type"] == "Replace disks" and "Update the virtual machine" in tasks, f"{tasks}")
    expect(new.os_disk.managed_disk.id != old.os_disk.managed_disk.id, "the machine has its old disk")
    kept = compute.disks.get("rg-shop", old.os_disk.managed_disk.id.rsplit("/", 1)[1])
    expect(kept.managed_by is None and kept.properties.disk_state == "Unattached", f"{kept}")
    return f"{new.os_disk.name}; {old.os_disk.name} is kept, {kept.properties.disk_state}"


def no_account(t):
    """What is missing where it is restored to shows in the job, as recorded."""
    backup, point = backup_of(t), point_of(t)
    asked = m.RestoreRequestResource(properties=request(t, recovery_point_id=point, storage_account_id=t.account("nowhere")))
    job = finished(backup, job_of(backup, lambda **more: backup.restores.begin_trigger(*t.item(), point, asked, **more)))
    wrong = job.error_details[0]
    expect(job.status == "Failed" and wrong.error_code == 400048 and wrong.recommendations, f"{job.status} {wrong}")
    return f"{job.status}, {wrong.error_code} {wrong.error_string}"


def cancelled(t):
    """A restore as blobs takes long enough to be cancelled in its transfer."""
    backup, point = backup_of(t), point_of(t)
    asked = m.RestoreRequestResource(properties=request(t, recovery_point_id=point, target_resource_group_id=None))
    with t.slowly():
        job = job_of(backup, lambda **more: backup.restores.begin_trigger(*t.item(), point, asked, **more))
        backup.job_cancellations.trigger(VAULT, GROUP, job)
    over = finished(backup, job)
    expect(over.status == "Cancelled", over.status)
    return over.status


def scripts(t, machine):
    """File recovery of a machine's newest point: mounted, and its scripts asked for as this api-version has it."""
    backup, point = backup_of(t), points_of(t, machine)[0].name
    asked = m.ILRRequestResource(
        properties=m.IaasVMILRRegistrationRequest(
            recovery_point_id=point, virtual_machine_id=t.machine(machine), initiator_name="tour", renew_existing_registration=False
        )
    )
    connections = backup.item_level_recovery_connections
    operation = accepted(lambda **more: connections.provision(*t.item(machine), point, asked, **more))
    ended(backup, operation)
    wanted = m.InstantItemRecoveryOperationResultRequest(provision_instant_item_recovery_operation_id=operation)
    # The generator has given this call its vault and group the other way round.
    vault, group, *rest = t.item(machine)
    found = connections.list_instant_item_recovery_operation_result(group, vault, *rest, point, wanted).client_scripts
    expect(backup.recovery_points.get(*t.item(machine), point).properties.is_instant_ilr_session_active, "the point is not mounted")
    ended(backup, accepted(lambda **more: connections.revoke(*t.item(machine), point, **more)))
    expect(not backup.recovery_points.get(*t.item(machine), point).properties.is_instant_ilr_session_active, "the point is still mounted")
    return found


def files(t):
    linux, windows = scripts(t, "api-01"), scripts(t, "win-01")
    expect([one.script_extension for one in linux] == [".py"], f"{linux}")
    expect([one.script_extension for one in windows] == [".txt", ".exe"] and windows[1].url, f"{windows}")
    last = linux[0].script_name_suffix.rsplit("_", 1)[1]
    expect(len(last[32:47]) == 15 and base64.b64decode(linux[0].script_content).startswith(b"#!"), f"{linux}")
    return f"{linux[0].os_type}: {linux[0].script_extension}; {windows[0].os_type}: {', '.join(one.script_extension for one in windows)}"


def archive(t):
    """A point of a monthly rule goes to the archive when it is old enough, and comes back for a restore."""
    t.clock(advance="PT2640H")
    backup = backup_of(t)
    recommended = [one.name for one in backup.recovery_points_recommended_for_move.list(
        *t.item(), m.ListRecoveryPointsRecommendedForMoveRequest(excluded_rp_list=[]))]
    expect(recommended, "no point is recommended for the archive")
    ready = [one.name for one in points_of(t) if one.properties.recovery_point_move_readiness_info["ArchivedRP"].is_ready_for_move]
    expect(sorted(ready) == sorted(recommended), f"ready {ready}, recommended {recommended}")
    point = recommended[-1]
    wish = m.MoveRPAcrossTiersRequest(source_tier_type="HardenedRP", target_tier_type="ArchivedRP")
    moved, _ = completed(backup, lambda **more: backup.begin_move_recovery_point(*t.item(), point, wish, **more))
    expect(point_of(t, tier="ArchivedRP") == point, "the point is not in the archive")
    refused(lambda: restore(t, point), 400)
    info = m.RecoveryPointRehydrationInfo(rehydration_priority="High", rehydration_retention_duration="P15D")
    restore(t, point, recovery_point_rehydration_info=info)
    tiers = {held.type: held.status for held in backup.recovery_points.get(*t.item(), point).properties.recovery_point_tier_details}
    expect(tiers["ArchivedRP"] == "Rehydrated", f"{tiers}")
    return f"{len(recommended)} recommended, {moved.operation}, then {tiers}"


STEPS = [
    ("a network to restore into", network),
    ("a restore validated", validate),
    ("disks restored", disks),
    ("some disks restored", some_disks),
    ("disks restored as blobs", unmanaged),
    ("a new machine restored", new_machine),
    ("disks replaced", replace_disks),
    ("a restore through no account", no_account),
    ("a restore cancelled", cancelled),
    ("files recovered", files),
]

# Half a year of simulated time: the last thing that is done.
LAST = [("the archive, there and back", archive)]
