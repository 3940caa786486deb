package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	backup "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/recoveryservices/armrecoveryservicesbackup/v4"
)

// Where restores go, and the account that they go through: both are the estate's.
const (
	target  = "rg-restore"
	staging = "/resourceGroups/rg-backup/providers/Microsoft.Storage/storageAccounts/shopstage"
)

func (t *tour) id(path string) *string {
	return to.Ptr("/subscriptions/" + t.settings.subscription + path)
}

// request is a restore of all disks of the point.
func (t *tour) request() *backup.IaasVMRestoreRequest {
	return &backup.IaasVMRestoreRequest{ObjectType: to.Ptr("IaasVMRestoreRequest"), RecoveryPointID: to.Ptr(t.pointID),
		RecoveryType: to.Ptr(backup.RecoveryTypeRestoreDisks), SourceResourceID: to.Ptr(t.vmID), Region: to.Ptr(location),
		StorageAccountID: t.id(staging), TargetResourceGroupID: t.id("/resourceGroups/" + target),
		CreateNewCloudService: to.Ptr(false), OriginalStorageAccountOption: to.Ptr(false)}
}

// start sends a restore, lets the SDK poll its operation, and asks the vault for the job.
func (t *tour) start(request backup.RestoreRequestClassification) (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	var accepted *http.Response
	poller, err := factory.NewRestoresClient().BeginTrigger(runtime.WithCaptureResponse(t.ctx, &accepted), vaultName, group, fabric,
		container(), item(), t.pointID, backup.RestoreRequestResource{Properties: request}, nil)
	if _, err := done(t.ctx, poller, err); err != nil {
		return "", err
	}
	operation := operationOf(accepted)
	job, err := t.jobOf(operation)
	if err == nil && job != operation {
		err = fmt.Errorf("the job of a restore has its operation's id, not %s", job)
	}
	return job, err
}

// restore follows a restore to the good end of its job: the job and the names of its tasks.
func (t *tour) restore(request backup.RestoreRequestClassification) (*backup.AzureIaaSVMJob, string, error) {
	id, err := t.start(request)
	if err != nil {
		return nil, "", err
	}
	job, err := t.finished(id)
	if err != nil {
		return nil, "", err
	}
	if *job.Status != "Completed" || *job.Operation != "Restore" {
		return nil, "", fmt.Errorf("%s is %s: %v", *job.Operation, *job.Status, job.ErrorDetails)
	}
	var tasks []string
	for _, task := range job.ExtendedInfo.TasksList {
		if *task.Status != "Completed" {
			return nil, "", fmt.Errorf("task %s is %s", *task.TaskID, *task.Status)
		}
		tasks = append(tasks, *task.TaskID)
	}
	return job, strings.Join(tasks, ", "), nil
}

func (t *tour) disks() (*armcompute.DisksClient, error) {
	return armcompute.NewDisksClient(t.settings.subscription, t.clients.credential, t.clients.options)
}

// sizes are the sizes of the disks in the target group, in GB by name.
func (t *tour) sizes() (map[string]int32, error) {
	disks, err := t.disks()
	if err != nil {
		return nil, err
	}
	found, _, err := all(t.ctx, disks.NewListByResourceGroupPager(target, nil),
		func(p armcompute.DisksClientListByResourceGroupResponse) []*armcompute.Disk { return p.Value })
	sizes := map[string]int32{}
	for _, disk := range found {
		sizes[*disk.Name] = *disk.Properties.DiskSizeGB
	}
	return sizes, err
}

// adds is how many disks a restore brings into the target group.
func (t *tour) adds(request backup.RestoreRequestClassification) (int, *backup.AzureIaaSVMJob, error) {
	before, err := t.sizes()
	if err != nil {
		return 0, nil, err
	}
	job, _, err := t.restore(request)
	if err != nil {
		return 0, nil, err
	}
	after, err := t.sizes()
	return len(after) - len(before), job, err
}

func (t *tour) validated() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	validate := func(account string) ([]*backup.ErrorDetail, error) {
		request := t.request()
		request.StorageAccountID = t.id(account)
		point := t.id("/resourceGroups/" + group + "/providers/Microsoft.RecoveryServices/vaults/" + vaultName + "/backupFabrics/" + fabric +
			"/protectionContainers/" + container() + "/protectedItems/" + item() + "/recoveryPoints/" + t.pointID)
		var accepted *http.Response
		poller, err := factory.NewValidateOperationClient().BeginTrigger(runtime.WithCaptureResponse(t.ctx, &accepted), vaultName, group,
			backup.ValidateOperationRequestResource{ID: point, Properties: &backup.ValidateIaasVMRestoreOperationRequest{
				ObjectType: to.Ptr("ValidateIaasVMRestoreOperationRequest"), RestoreRequest: request}}, nil)
		if _, err := done(t.ctx, poller, err); err != nil {
			return nil, err
		}
		status, err := factory.NewValidateOperationStatusesClient().Get(t.ctx, vaultName, group, operationOf(accepted), nil)
		if err != nil {
			return nil, err
		}
		told, typed := status.Properties.(*backup.OperationStatusValidateOperationExtendedInfo)
		if !typed {
			return nil, fmt.Errorf("a validation tells %T", status.Properties)
		}
		return told.ValidateOperationResponse.ValidationResults, nil
	}
	good, err := validate(staging)
	if err != nil || len(good) != 0 {
		return "", fmt.Errorf("%d findings: %w", len(good), orNothing(err))
	}
	bad, err := validate(staging + "0")
	if err != nil || len(bad) == 0 {
		return "", fmt.Errorf("no account is no finding: %w", orNothing(err))
	}
	return "nothing against it; through no account: " + *bad[0].Code, nil
}

func (t *tour) restored() (string, error) {
	whole, job, err := t.adds(t.request())
	if err != nil {
		return "", err
	}
	bag := job.ExtendedInfo.PropertyBag
	if whole != 2 || *bag["Job Type"] != "Recover disks" || *bag["Target Storage Account Name"] != "shopstage" || bag["Template Blob Uri"] == nil {
		return "", fmt.Errorf("%d disks, %v", whole, bag)
	}
	only := t.request()
	only.RestoreDiskLunList = []*int32{}
	some, _, err := t.adds(only)
	if err != nil || some != 1 {
		return "", fmt.Errorf("%d disks without the data disk: %w", some, orNothing(err))
	}
	only.RestoreDiskLunList = []*int32{to.Ptr[int32](7)}
	_, err = t.start(only)
	if err := refusedWith(err, 400, "UserErrorInvalidRequestParameter"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d disks, then %d", whole, some), nil
}

func (t *tour) blobs() (string, error) {
	request := t.request()
	request.TargetResourceGroupID = nil
	added, job, err := t.adds(request)
	if err != nil || added != 0 {
		return "", fmt.Errorf("%d disks: %w", added, orNothing(err))
	}
	return *job.ExtendedInfo.TasksList[0].TaskExecutionDetails, nil
}

func (t *tour) newMachine() (string, error) {
	request := t.request()
	request.RecoveryType = to.Ptr(backup.RecoveryTypeAlternateLocation)
	request.TargetVirtualMachineID = t.id("/resourceGroups/" + target + "/providers/Microsoft.Compute/virtualMachines/go-02")
	request.VirtualNetworkID, request.SubnetID = to.Ptr(t.networkID), to.Ptr(t.subnetID)
	_, tasks, err := t.restore(request)
	if err != nil {
		return "", err
	}
	machines, err := t.machines()
	if err != nil {
		return "", err
	}
	made, err := machines.Get(t.ctx, target, "go-02", nil)
	if err != nil || len(made.Properties.StorageProfile.DataDisks) != 1 || !strings.Contains(tasks, "Create the restored virtual machine") {
		return "", fmt.Errorf("%s: %w", tasks, orNothing(err))
	}
	return *made.Name + " by " + tasks, nil
}

func (t *tour) replaced() (string, error) {
	machines, err := t.machines()
	if err != nil {
		return "", err
	}
	before, err := machines.Get(t.ctx, group, vmName, nil)
	if err != nil {
		return "", err
	}
	request := t.request()
	request.RecoveryType, request.TargetResourceGroupID = to.Ptr(backup.RecoveryTypeOriginalLocation), nil
	_, tasks, err := t.restore(request)
	if err != nil {
		return "", err
	}
	after, err := machines.Get(t.ctx, group, vmName, nil)
	if err != nil {
		return "", err
	}
	old, now := before.Properties.StorageProfile.OSDisk, after.Properties.StorageProfile.OSDisk
	if strings.EqualFold(*old.ManagedDisk.ID, *now.ManagedDisk.ID) || !strings.Contains(tasks, "Update the virtual machine") {
		return "", errors.New("the machine has its old disk")
	}
	disks, err := t.disks()
	if err != nil {
		return "", err
	}
	kept, err := disks.Get(t.ctx, group, *old.Name, nil)
	if err != nil || *kept.Properties.DiskState != armcompute.DiskStateUnattached {
		return "", fmt.Errorf("the old disk is %v: %w", kept.Properties, orNothing(err))
	}
	return fmt.Sprintf("%s for %s", *now.Name, *old.Name), nil
}

func (t *tour) noAccount() (string, error) {
	request := t.request()
	request.StorageAccountID = t.id(staging + "0")
	id, err := t.start(request)
	if err != nil {
		return "", err
	}
	job, err := t.finished(id)
	if err != nil {
		return "", err
	}
	if *job.Status != "Failed" || len(job.ErrorDetails) != 1 || *job.ErrorDetails[0].ErrorCode != 400048 {
		return "", fmt.Errorf("the job is %s: %v", *job.Status, job.ErrorDetails)
	}
	return *job.ErrorDetails[0].ErrorString, nil
}
