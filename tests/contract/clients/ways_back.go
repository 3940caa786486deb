package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/recoveryservices/armrecoveryservices"
	backup "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/recoveryservices/armrecoveryservicesbackup/v4"
)

func (t *tour) stop() (string, error) {
	state, err := t.put(&backup.AzureIaaSComputeVMProtectedItem{PolicyID: to.Ptr(""), ProtectionState: to.Ptr(backup.ProtectionStateProtectionStopped)})
	if err != nil {
		return "", err
	}
	if *state.ProtectionState != backup.ProtectionStateProtectionStopped || *state.PolicyID != "" {
		return "", fmt.Errorf("the item is %s under %q", *state.ProtectionState, *state.PolicyID)
	}
	if _, err := t.points(); err != nil {
		return "", err
	}
	return string(*state.ProtectionState), nil
}

func (t *tour) undelete() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	items := factory.NewProtectedItemsClient()
	if _, err := follow[struct{}](t, func(ctx context.Context) error {
		_, err := items.Delete(ctx, vaultName, group, fabric, container(), item(), nil)
		return err
	}); err != nil {
		return "", err
	}
	deleted, err := items.Get(t.ctx, vaultName, group, fabric, container(), item(), nil)
	if err != nil {
		return "", err
	}
	if soft := deleted.Properties.(*backup.AzureIaaSComputeVMProtectedItem).IsScheduledForDeferredDelete; soft == nil || !*soft {
		return "", errors.New("the item is not deleted softly")
	}
	state, err := t.put(&backup.AzureIaaSComputeVMProtectedItem{PolicyID: to.Ptr(""),
		ProtectionState: to.Ptr(backup.ProtectionStateProtectionStopped), IsRehydrate: to.Ptr(true)})
	if err != nil {
		return "", err
	}
	if *state.ProtectionState != backup.ProtectionStateProtectionStopped || state.IsScheduledForDeferredDelete != nil && *state.IsScheduledForDeferredDelete {
		return "", fmt.Errorf("the item is %s, deleted %v", *state.ProtectionState, state.IsScheduledForDeferredDelete)
	}
	return string(*state.ProtectionState), nil
}

func (t *tour) resume() (string, error) {
	state, err := t.put(&backup.AzureIaaSComputeVMProtectedItem{PolicyID: to.Ptr(t.policyID)})
	if err != nil {
		return "", err
	}
	if *state.ProtectionState != backup.ProtectionStateProtected {
		return "", fmt.Errorf("the item is %s", *state.ProtectionState)
	}
	return string(*state.ProtectionState), nil
}

func (t *tour) jobs() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	list := factory.NewBackupJobsClient().NewListPager(vaultName, group, &backup.BackupJobsClientListOptions{Filter: to.Ptr("status eq 'Completed'")})
	found, _, err := all(t.ctx, list, func(p backup.BackupJobsClientListResponse) []*backup.JobResource { return p.Value })
	if err != nil {
		return "", err
	}
	count := map[string]int{}
	for _, job := range found {
		count[*job.Properties.GetJob().Operation]++
	}
	for _, operation := range []string{"ConfigureBackup", "Backup", "DisableBackup", "DeleteBackupData", "Undelete"} {
		if count[operation] == 0 {
			return "", fmt.Errorf("no job %s among %v", operation, count)
		}
	}
	return fmt.Sprint(count), nil
}

func (t *tour) refused() (string, error) {
	vaults, err := armrecoveryservices.NewVaultsClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	_, err = vaults.Delete(t.ctx, group, vaultName, nil)
	return "ServiceResourceNotEmptyWithContainerDetails", refusedWith(err, 400, "ServiceResourceNotEmptyWithContainerDetails")
}
