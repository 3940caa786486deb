"""The paired region, by the client of the "passive stamp": what it knows, a token for it, restores there and their jobs."""

from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.network import models as networks
from azure.mgmt.recoveryservicesbackup.passivestamp import RecoveryServicesBackupPassiveClient
from azure.mgmt.recoveryservicesbackup.passivestamp import models as m

from azure_sim import GROUP, VAULT, expect, until

REGION = "northeurope"


def passive_of(t):
    return t.client(RecoveryServicesBackupPassiveClient)


def vault_id(t):
    return f"{t.group(GROUP)}/providers/Microsoft.RecoveryServices/vaults/{VAULT}"


def known(t):
    """Points get there within half a day."""
    passive = passive_of(t)
    t.clock(advance="PT13H")
    items = {one.properties.friendly_name: one.properties for one in passive.backup_protected_items_crr.list(VAULT, GROUP)}
    points = list(passive.recovery_points_crr.list(*t.item()))
    expect(set(items) == {"api-01", "win-01"}, f"{items.keys()}")
    tiers = [(held.type, held.status) for held in points[0].properties.recovery_point_tier_details]
    expect(tiers == [("HardenedRP", "Valid")], f"{tiers}")
    t.point = points[0].name
    one = passive.recovery_points_crr.get(*t.item(), t.point).properties
    expect(one.recovery_point_time == points[0].properties.recovery_point_time, f"{one}")
    return f"{len(points)} points, {one.recovery_point_type}"


def token(t):
    passive = passive_of(t)
    service = passive.aad_properties.get(REGION)
    t.token = passive.recovery_points.get_access_token(*t.item(), t.point, service).properties
    # The SDK drops the type on reading; azure-cli puts it back as well.
    t.token.object_type = "CrrAccessToken"
    expect(t.token.access_token_string and t.token.recovery_point_id == t.point, f"{t.token}")
    return f"{service.properties.audience}, {t.token.object_type}"


def request(t, **what):
    return m.IaasVMRestoreRequest(**{
        **dict(
            recovery_point_id=t.point,
            recovery_type="RestoreDisks",
            source_resource_id=t.machine("api-01"),
            storage_account_id=t.account("northstage", "rg-north"),
            target_resource_group_id=t.group("rg-north"),
            region=REGION,
            create_new_cloud_service=False,
            original_storage_account_option=False,
        ),
        **what,
    })


def restored(t, **what):
    """A restore there to the end of its job, which is asked for there too."""
    passive = passive_of(t)
    answers = []
    asked = m.CrossRegionRestoreRequest(cross_region_restore_access_details=t.token, restore_request=request(t, **what))
    passive.cross_region_restore.begin_trigger(REGION, asked, raw_response_hook=lambda answer: answers.append(answer.http_response)).result()
    operation = answers[0].headers["Azure-AsyncOperation"].split("?")[0].rsplit("/", 1)[1]
    status = passive.crr_operation_status.get(REGION, operation)
    expect(status.status == "Succeeded" and status.id.endswith(operation), f"{status}")

    def look():
        job = passive.backup_crr_job_details.get(REGION, m.CrrJobRequest(resource_id=vault_id(t), job_name=status.properties.job_id)).properties
        return job if job.status != "InProgress" else None

    job = until(look, "the end of the job there")
    expect(job.status == "Completed" and job.operation == "CrossRegionRestore", f"{job.operation} {job.status} {job.error_details}")
    return job


def disks(t):
    job = restored(t)
    there = [disk for disk in t.client(ComputeManagementClient).disks.list_by_resource_group("rg-north")]
    expect(len(there) == 3 and {disk.location for disk in there} == {REGION}, f"{[(disk.name, disk.location) for disk in there]}")
    return f"{job.status} after {job.duration}, {len(there)} disks, vault {job.extended_info.property_bag['Vault name']}"


def machine(t):
    network = t.client(NetworkManagementClient).virtual_networks.begin_create_or_update(
        "rg-north",
        "vn",
        networks.VirtualNetwork(
            location=REGION,
            properties=networks.VirtualNetworkPropertiesFormat(
                address_space=networks.AddressSpace(address_prefixes=["10.8.0.0/16"]),
                subnets=[networks.Subnet(name="s", properties=networks.SubnetPropertiesFormat(address_prefix="10.8.0.0/24"))],
            ),
        ),
    ).result()
    restored(t, recovery_type="AlternateLocation", target_virtual_machine_id=t.machine("api-01-north", "rg-north"),
             virtual_network_id=network.id, subnet_id=network.properties.subnets[0].id)
    made = t.client(ComputeManagementClient).virtual_machines.get("rg-north", "api-01-north")
    expect(made.location == REGION, made.location)
    return f"{made.name} in {made.location}"


def jobs(t):
    found = list(passive_of(t).backup_crr_jobs.list(REGION, m.CrrJobRequest(resource_id=vault_id(t)), filter="status eq 'Completed'"))
    expect([job.properties.operation for job in found] == ["CrossRegionRestore"] * 2, f"{found}")
    none = list(passive_of(t).backup_crr_jobs.list(REGION, m.CrrJobRequest(resource_id=vault_id(t)), filter="status eq 'Failed'"))
    expect(none == [], f"{none}")
    return f"{len(found)} of {found[0].properties.operation}"


STEPS = [
    ("points known in the paired region", known),
    ("a token for it", token),
    ("disks restored there", disks),
    ("a machine restored there", machine),
    ("jobs there", jobs),
]
