package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/recoveryservices/armrecoveryservices"
	backup "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/recoveryservices/armrecoveryservicesbackup/v4"
)

const (
	vaultName  = "rv-go"
	fabric     = "Azure"
	itemType   = "Microsoft.Compute/virtualMachines"
	ofMachines = "backupManagementType eq 'AzureIaasVM'"
)

func container() string { return "IaasVMContainer;iaasvmcontainerv2;" + group + ";" + vmName }
func item() string      { return "VM;iaasvmcontainerv2;" + group + ";" + vmName }

func (t *tour) factory() (*backup.ClientFactory, error) {
	return backup.NewClientFactory(t.settings.subscription, t.clients.credential, t.clients.options)
}

// follow sends a request that this SDK does not poll by itself, and polls what its answer announced.
func follow[T any](t *tour, send func(ctx context.Context) error) (T, error) {
	var none T
	var accepted *http.Response
	if err := send(runtime.WithCaptureResponse(t.ctx, &accepted)); err != nil {
		return none, err
	}
	if accepted == nil || accepted.StatusCode != http.StatusAccepted {
		return none, errors.New("not answered with 202")
	}
	client, err := arm.NewClient("clients", "v1.0.0", t.clients.credential, t.clients.options)
	if err != nil {
		return none, err
	}
	poller, err := runtime.NewPoller[T](accepted, client.Pipeline(), nil)
	return done(t.ctx, poller, err)
}

func (t *tour) vault() (string, error) {
	vaults, err := armrecoveryservices.NewVaultsClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	poller, err := vaults.BeginCreateOrUpdate(t.ctx, group, vaultName, armrecoveryservices.Vault{Location: to.Ptr(location),
		SKU:        &armrecoveryservices.SKU{Name: to.Ptr(armrecoveryservices.SKUNameRS0), Tier: to.Ptr("Standard")},
		Properties: &armrecoveryservices.VaultProperties{PublicNetworkAccess: to.Ptr(armrecoveryservices.PublicNetworkAccessEnabled)}}, nil)
	made, err := done(t.ctx, poller, err)
	if err != nil {
		return "", err
	}
	updating, err := vaults.BeginUpdate(t.ctx, group, vaultName, armrecoveryservices.PatchVault{Tags: map[string]*string{"app": to.Ptr("go")}}, nil)
	if _, err := done(t.ctx, updating, err); err != nil {
		return "", err
	}
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	config, err := factory.NewBackupResourceVaultConfigsClient().Get(t.ctx, vaultName, group, nil)
	if err != nil || *config.Properties.SoftDeleteFeatureState != backup.SoftDeleteFeatureStateEnabled {
		return "", fmt.Errorf("vaultconfig %v: %w", config.Properties, orNothing(err))
	}
	list := vaults.NewListBySubscriptionIDPager(nil)
	found, _, err := all(t.ctx, list, func(p armrecoveryservices.VaultsClientListBySubscriptionIDResponse) []*armrecoveryservices.Vault {
		return p.Value
	})
	if err != nil || len(found) < 2 {
		return "", fmt.Errorf("%d vaults: %w", len(found), orNothing(err))
	}
	return fmt.Sprintf("%s is %s", *made.Name, *made.Properties.ProvisioningState), nil
}

func (t *tour) policy() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	// Half an hour before the simulated world begins: no scheduled backup meets those that are asked for.
	at := time.Date(2024, 1, 1, 7, 30, 0, 0, time.UTC)
	made, err := factory.NewProtectionPoliciesClient().CreateOrUpdate(t.ctx, vaultName, group, "nightly", backup.ProtectionPolicyResource{
		Properties: &backup.AzureIaaSVMProtectionPolicy{
			BackupManagementType: to.Ptr("AzureIaasVM"), TimeZone: to.Ptr("UTC"), InstantRpRetentionRangeInDays: to.Ptr[int32](2),
			SchedulePolicy: &backup.SimpleSchedulePolicy{SchedulePolicyType: to.Ptr("SimpleSchedulePolicy"),
				ScheduleRunFrequency: to.Ptr(backup.ScheduleRunTypeDaily), ScheduleRunTimes: []*time.Time{&at}},
			RetentionPolicy: &backup.LongTermRetentionPolicy{RetentionPolicyType: to.Ptr("LongTermRetentionPolicy"),
				DailySchedule: &backup.DailyRetentionSchedule{RetentionTimes: []*time.Time{&at},
					RetentionDuration: &backup.RetentionDuration{Count: to.Ptr[int32](30), DurationType: to.Ptr(backup.RetentionDurationTypeDays)}},
				MonthlySchedule: &backup.MonthlyRetentionSchedule{RetentionTimes: []*time.Time{&at},
					RetentionScheduleFormatType: to.Ptr(backup.RetentionScheduleFormatWeekly),
					RetentionScheduleWeekly: &backup.WeeklyRetentionFormat{DaysOfTheWeek: []*backup.DayOfWeek{to.Ptr(backup.DayOfWeekSunday)},
						WeeksOfTheMonth: []*backup.WeekOfMonth{to.Ptr(backup.WeekOfMonthFirst)}},
					RetentionDuration: &backup.RetentionDuration{Count: to.Ptr[int32](60), DurationType: to.Ptr(backup.RetentionDurationTypeMonths)}}},
		}}, nil)
	if err != nil {
		return "", err
	}
	kept, typed := made.Properties.(*backup.AzureIaaSVMProtectionPolicy)
	if !typed || kept.RetentionPolicy == nil {
		return "", fmt.Errorf("the policy came back as %T", made.Properties)
	}
	list := factory.NewBackupPoliciesClient().NewListPager(vaultName, group, &backup.BackupPoliciesClientListOptions{Filter: to.Ptr(ofMachines)})
	found, _, err := all(t.ctx, list, func(p backup.BackupPoliciesClientListResponse) []*backup.ProtectionPolicyResource { return p.Value })
	if err != nil || len(found) != 3 {
		return "", fmt.Errorf("%d policies, not the new vault's two and ours: %w", len(found), orNothing(err))
	}
	t.policyID = *made.ID
	return *made.Name, nil
}

// put sends a protected item and returns it as it is when its operation has ended.
func (t *tour) put(properties *backup.AzureIaaSComputeVMProtectedItem) (*backup.AzureIaaSComputeVMProtectedItem, error) {
	factory, err := t.factory()
	if err != nil {
		return nil, err
	}
	items := factory.NewProtectedItemsClient()
	properties.ProtectedItemType, properties.SourceResourceID = to.Ptr(itemType), to.Ptr(t.vmID)
	ended, err := follow[backup.ProtectedItemResource](t, func(ctx context.Context) error {
		_, err := items.CreateOrUpdate(ctx, vaultName, group, fabric, container(), item(), backup.ProtectedItemResource{Properties: properties}, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	state, typed := ended.Properties.(*backup.AzureIaaSComputeVMProtectedItem)
	if !typed || state.ProtectionState == nil {
		return nil, fmt.Errorf("the item came back as %T", ended.Properties)
	}
	return state, nil
}

func (t *tour) protect() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	offered := factory.NewBackupProtectableItemsClient().NewListPager(vaultName, group, &backup.BackupProtectableItemsClientListOptions{Filter: to.Ptr(ofMachines)})
	if _, _, err := all(t.ctx, offered, func(p backup.BackupProtectableItemsClientListResponse) []*backup.WorkloadProtectableItemResource {
		return p.Value
	}); err != nil {
		return "", err
	}
	ask := backup.BackupStatusRequest{ResourceType: to.Ptr(backup.DataSourceTypeVM), ResourceID: to.Ptr(t.vmID)}
	before, err := factory.NewBackupStatusClient().Get(t.ctx, location, ask, nil)
	if err != nil || *before.ProtectionStatus != backup.ProtectionStatusNotProtected {
		return "", fmt.Errorf("before: %v: %w", before.ProtectionStatus, orNothing(err))
	}
	state, err := t.put(&backup.AzureIaaSComputeVMProtectedItem{PolicyID: to.Ptr(t.policyID)})
	if err != nil {
		return "", err
	}
	if *state.ProtectionState != backup.ProtectionStateIRPending || !strings.EqualFold(*state.PolicyID, t.policyID) {
		return "", fmt.Errorf("the item is %s under %s", *state.ProtectionState, *state.PolicyID)
	}
	after, err := factory.NewBackupStatusClient().Get(t.ctx, location, ask, nil)
	if err != nil || *after.ProtectionStatus != backup.ProtectionStatusProtected || !strings.HasSuffix(strings.ToLower(*after.VaultID), vaultName) {
		return "", fmt.Errorf("after: %v: %w", after.ProtectionStatus, orNothing(err))
	}
	list := factory.NewBackupProtectionContainersClient().NewListPager(vaultName, group, &backup.BackupProtectionContainersClientListOptions{Filter: to.Ptr(ofMachines)})
	containers, _, err := all(t.ctx, list, func(p backup.BackupProtectionContainersClientListResponse) []*backup.ProtectionContainerResource {
		return p.Value
	})
	if err != nil || len(containers) != 1 {
		return "", fmt.Errorf("%d containers: %w", len(containers), orNothing(err))
	}
	return string(*state.ProtectionState), nil
}

func (t *tour) backup() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	expires := time.Now().AddDate(0, 3, 0)
	var accepted *http.Response
	_, err = factory.NewBackupsClient().Trigger(runtime.WithCaptureResponse(t.ctx, &accepted), vaultName, group, fabric, container(), item(),
		backup.BackupRequestResource{Properties: &backup.IaasVMBackupRequest{ObjectType: to.Ptr("IaasVMBackupRequest"), RecoveryPointExpiryTimeInUTC: &expires}}, nil)
	if err != nil {
		return "", err
	}
	operation := operationOf(accepted)
	job, err := t.jobOf(operation)
	if err != nil || job == operation {
		return "", fmt.Errorf("job %s of operation %s: %w", job, operation, orNothing(err))
	}
	seen, err := t.finished(job)
	if err != nil {
		return "", err
	}
	if *seen.Status != "Completed" || len(seen.ExtendedInfo.TasksList) < 2 {
		return "", fmt.Errorf("the job is %s with %d tasks", *seen.Status, len(seen.ExtendedInfo.TasksList))
	}
	return fmt.Sprintf("%s %s after %s", *seen.Operation, *seen.Status, *seen.Duration), nil
}

// operationOf is the id of what an answer announces.
func operationOf(accepted *http.Response) string {
	id, _, _ := strings.Cut(accepted.Header.Get("Azure-AsyncOperation"), "?")
	return id[strings.LastIndex(id, "/")+1:]
}

// told waits until an operation has ended well and says what it tells: nothing, when it is of no job.
func (t *tour) told(operation string) (backup.OperationStatusExtendedInfoClassification, error) {
	factory, err := t.factory()
	if err != nil {
		return nil, err
	}
	for {
		status, err := factory.NewBackupOperationStatusesClient().Get(t.ctx, vaultName, group, operation, nil)
		switch {
		case err != nil:
			return nil, err
		case *status.Status == backup.OperationStatusValuesSucceeded:
			return status.Properties, nil
		case *status.Status != backup.OperationStatusValuesInProgress:
			return nil, fmt.Errorf("the operation is %s", *status.Status)
		}
		if err := t.pause(); err != nil {
			return nil, err
		}
	}
}

// jobOf waits until an operation has ended and tells its job.
func (t *tour) jobOf(operation string) (string, error) {
	told, err := t.told(operation)
	if err != nil {
		return "", err
	}
	extended, typed := told.(*backup.OperationStatusJobExtendedInfo)
	if !typed {
		return "", fmt.Errorf("the operation tells %T", told)
	}
	return *extended.JobID, nil
}

// finished waits until a job is over.
func (t *tour) finished(job string) (*backup.AzureIaaSVMJob, error) {
	factory, err := t.factory()
	if err != nil {
		return nil, err
	}
	for {
		details, err := factory.NewJobDetailsClient().Get(t.ctx, vaultName, group, job, nil)
		if err != nil {
			return nil, err
		}
		if seen := details.Properties.(*backup.AzureIaaSVMJob); *seen.Status != "InProgress" && *seen.Status != "Cancelling" {
			return seen, nil
		}
		if err := t.pause(); err != nil {
			return nil, err
		}
	}
}

func (t *tour) pause() error {
	select {
	case <-t.ctx.Done():
		return t.ctx.Err()
	case <-time.After(500 * time.Millisecond):
		return nil
	}
}

func (t *tour) points() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	points := factory.NewRecoveryPointsClient()
	found, _, err := all(t.ctx, points.NewListPager(vaultName, group, fabric, container(), item(), nil),
		func(p backup.RecoveryPointsClientListResponse) []*backup.RecoveryPointResource { return p.Value })
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("%d points: %w", len(found), orNothing(err))
	}
	one, err := points.Get(t.ctx, vaultName, group, fabric, container(), item(), *found[0].Name, nil)
	if err != nil {
		return "", err
	}
	point := one.Properties.(*backup.IaasVMRecoveryPoint)
	if *point.RecoveryPointType != "AppConsistent" && *point.RecoveryPointType != "FileSystemConsistent" || len(point.RecoveryPointTierDetails) == 0 {
		return "", fmt.Errorf("%s in %d tiers", *point.RecoveryPointType, len(point.RecoveryPointTierDetails))
	}
	t.pointID = *one.Name
	return fmt.Sprintf("%s, %s", *one.Name, *point.RecoveryPointType), nil
}
