package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	backup "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/recoveryservices/armrecoveryservicesbackup/v4"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
)

// turn turns the simulated clock: {"advance":"PT3H"}, {"factor":60}.
func (t *tour) turn(what map[string]any) error {
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	answer, err := http.Post(t.settings.door+"/clock", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the clock: %s", answer.Status)
	}
	return nil
}

// slowly does something while a simulated minute takes a second, and everything else at the pace of before.
func (t *tour) slowly(act func() error) error {
	answer, err := http.Get(t.settings.door + "/clock")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var before struct{ Factor float64 }
	if err := json.NewDecoder(answer.Body).Decode(&before); err != nil {
		return err
	}
	if err := t.turn(map[string]any{"factor": 60}); err != nil {
		return err
	}
	return errors.Join(act(), t.turn(map[string]any{"factor": before.Factor}))
}

// cancelled starts something, cancels its job and waits for its end.
func (t *tour) cancelled(start func() (string, error)) (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	var job string
	if err := t.slowly(func() (err error) {
		if job, err = start(); err != nil {
			return err
		}
		_, err = factory.NewJobCancellationsClient().Trigger(t.ctx, vaultName, group, job, nil)
		return err
	}); err != nil {
		return "", err
	}
	over, err := t.finished(job)
	if err != nil || *over.Status != "Cancelled" {
		return "", fmt.Errorf("job %s is not cancelled: %w", job, orNothing(err))
	}
	return *over.Operation + " " + *over.Status, nil
}

// backupCancelled is of one in its snapshot: Azure lets it until then.
func (t *tour) backupCancelled() (string, error) {
	return t.cancelled(func() (string, error) {
		factory, err := t.factory()
		if err != nil {
			return "", err
		}
		var accepted *http.Response
		request := backup.BackupRequestResource{Properties: &backup.IaasVMBackupRequest{ObjectType: to.Ptr("IaasVMBackupRequest")}}
		if _, err := factory.NewBackupsClient().Trigger(runtime.WithCaptureResponse(t.ctx, &accepted), vaultName, group, fabric, container(), item(), request, nil); err != nil {
			return "", err
		}
		return t.jobOf(operationOf(accepted))
	})
}

// restoreCancelled is of one in its transfer, which takes long enough when the disks become blobs.
func (t *tour) restoreCancelled() (string, error) {
	request := t.request()
	request.TargetResourceGroupID = nil
	return t.cancelled(func() (string, error) { return t.start(request) })
}

// isMounted is what the point says of itself.
func (t *tour) isMounted() (bool, error) {
	factory, err := t.factory()
	if err != nil {
		return false, err
	}
	point, err := factory.NewRecoveryPointsClient().Get(t.ctx, vaultName, group, fabric, container(), item(), t.pointID, nil)
	if err != nil {
		return false, err
	}
	return *point.Properties.(*backup.IaasVMRecoveryPoint).IsInstantIlrSessionActive, nil
}

func (t *tour) files() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	connections := factory.NewItemLevelRecoveryConnectionsClient()
	var accepted *http.Response
	request := &backup.IaasVMILRRegistrationRequest{ObjectType: to.Ptr("IaasVMILRRegistrationRequest"), RecoveryPointID: to.Ptr(t.pointID),
		VirtualMachineID: to.Ptr(t.vmID), InitiatorName: to.Ptr("tour"), RenewExistingRegistration: to.Ptr(false)}
	if _, err := connections.Provision(runtime.WithCaptureResponse(t.ctx, &accepted), vaultName, group, fabric, container(), item(), t.pointID,
		backup.ILRRequestResource{Properties: request}, nil); err != nil {
		return "", err
	}
	told, err := t.told(operationOf(accepted))
	if err != nil {
		return "", err
	}
	mount, typed := told.(*backup.OperationStatusProvisionILRExtendedInfo)
	if !typed || len(mount.RecoveryTarget.ClientScripts) != 1 {
		return "", fmt.Errorf("a mount tells %T", told)
	}
	script := mount.RecoveryTarget.ClientScripts[0]
	content, err := base64.StdEncoding.DecodeString(*script.ScriptContent)
	if err != nil || *script.ScriptExtension != ".py" || !strings.HasPrefix(string(content), "#!") {
		return "", fmt.Errorf("the script is %s: %w", *script.ScriptExtension, orNothing(err))
	}
	if mounted, err := t.isMounted(); err != nil || !mounted {
		return "", fmt.Errorf("the point is not mounted: %w", orNothing(err))
	}
	if _, err := connections.Revoke(runtime.WithCaptureResponse(t.ctx, &accepted), vaultName, group, fabric, container(), item(), t.pointID, nil); err != nil {
		return "", err
	}
	if told, err := t.told(operationOf(accepted)); err != nil || told != nil {
		return "", fmt.Errorf("a revocation tells %T: %w", told, orNothing(err))
	}
	if mounted, err := t.isMounted(); err != nil || mounted {
		return "", fmt.Errorf("the point is still mounted: %w", orNothing(err))
	}
	return *script.OSType + ", " + *script.ScriptExtension, nil
}

// guarded puts a guard before the vault: a restore wants the second person's request, and the guard goes only unlocked.
func (t *tour) guarded() (string, error) {
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	resources, err := armresources.NewClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	const guard = "/resourceGroups/" + group + "/providers/Microsoft.DataProtection/resourceGuards/second-eyes"
	making, err := resources.BeginCreateOrUpdateByID(t.ctx, *t.id(guard), "2023-01-01",
		armresources.GenericResource{Location: to.Ptr(location), Properties: map[string]any{"description": "Ask Ann."}}, nil)
	if _, err := done(t.ctx, making, err); err != nil {
		return "", err
	}
	proxies := factory.NewResourceGuardProxyClient()
	made, err := proxies.Put(t.ctx, vaultName, group, "VaultProxy", backup.ResourceGuardProxyBaseResource{
		Properties: &backup.ResourceGuardProxyBase{ResourceGuardResourceID: t.id(guard)}}, nil)
	if err != nil {
		return "", err
	}
	requests := map[string]*string{}
	for _, detail := range made.Properties.ResourceGuardOperationDetails {
		requests[*detail.VaultCriticalOperation] = detail.DefaultResourceRequest
	}
	const critical = "Microsoft.RecoveryServices/vaults/"
	request := t.request()
	if _, err := t.start(request); err == nil {
		return "", errors.New("a restore needed nobody else")
	}
	request.ResourceGuardOperationRequests = []*string{requests[critical+"backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action"]}
	if _, _, err := t.restore(request); err != nil {
		return "", err
	}
	if _, err := proxies.Delete(t.ctx, vaultName, group, "VaultProxy", nil); err == nil {
		return "", errors.New("the guard went before it was unlocked")
	}
	unlocked, err := proxies.UnlockDelete(t.ctx, vaultName, group, "VaultProxy", backup.UnlockDeleteRequest{
		ResourceGuardOperationRequests: []*string{requests[critical+"backupResourceGuardProxies/delete"]}}, nil)
	if err != nil {
		return "", err
	}
	if _, err := proxies.Delete(t.ctx, vaultName, group, "VaultProxy", nil); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d operations, unlocked until %s", len(requests), *unlocked.UnlockDeleteExpiryTime), nil
}

// archived sends a point of the monthly rule to the archive, when it is three months old, and brings it back for a restore.
func (t *tour) archived() (string, error) {
	if err := t.turn(map[string]any{"advance": "PT2640H"}); err != nil {
		return "", err
	}
	factory, err := t.factory()
	if err != nil {
		return "", err
	}
	movable, _, err := all(t.ctx, factory.NewRecoveryPointsRecommendedForMoveClient().NewListPager(vaultName, group, fabric, container(), item(),
		backup.ListRecoveryPointsRecommendedForMoveRequest{}, nil),
		func(p backup.RecoveryPointsRecommendedForMoveClientListResponse) []*backup.RecoveryPointResource {
			return p.Value
		})
	if err != nil || len(movable) == 0 {
		return "", fmt.Errorf("%d points can go: %w", len(movable), orNothing(err))
	}
	t.pointID = *movable[len(movable)-1].Name
	client, err := backup.NewClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	var accepted *http.Response
	moving, err := client.BeginMoveRecoveryPoint(runtime.WithCaptureResponse(t.ctx, &accepted), vaultName, group, fabric, container(), item(), t.pointID,
		backup.MoveRPAcrossTiersRequest{SourceTierType: to.Ptr(backup.RecoveryPointTierTypeHardenedRP), TargetTierType: to.Ptr(backup.RecoveryPointTierTypeArchivedRP)}, nil)
	if _, err := done(t.ctx, moving, err); err != nil {
		return "", err
	}
	job, err := t.jobOf(operationOf(accepted))
	if err != nil {
		return "", err
	}
	if err := t.turn(map[string]any{"advance": "PT3H"}); err != nil {
		return "", err
	}
	if moved, err := t.finished(job); err != nil || *moved.Status != "Completed" {
		return "", fmt.Errorf("the move is %v: %w", moved, orNothing(err))
	}
	plain := t.request()
	if _, err := t.start(plain); err == nil {
		return "", errors.New("a point in the archive was restored as if it were not there")
	}
	job, err = t.start(&backup.IaasVMRestoreWithRehydrationRequest{ObjectType: to.Ptr("IaasVMRestoreWithRehydrationRequest"),
		RecoveryPointID: plain.RecoveryPointID, RecoveryType: plain.RecoveryType, SourceResourceID: plain.SourceResourceID, Region: plain.Region,
		StorageAccountID: plain.StorageAccountID, TargetResourceGroupID: plain.TargetResourceGroupID,
		RecoveryPointRehydrationInfo: &backup.RecoveryPointRehydrationInfo{RehydrationPriority: to.Ptr(backup.RehydrationPriorityHigh),
			RehydrationRetentionDuration: to.Ptr("P15D")}})
	if err != nil {
		return "", err
	}
	if err := t.turn(map[string]any{"advance": "PT3H"}); err != nil {
		return "", err
	}
	if back, err := t.finished(job); err != nil || *back.Status != "Completed" {
		return "", fmt.Errorf("the restore is %v: %w", back, orNothing(err))
	}
	point, err := factory.NewRecoveryPointsClient().Get(t.ctx, vaultName, group, fabric, container(), item(), t.pointID, nil)
	if err != nil {
		return "", err
	}
	for _, tier := range point.Properties.(*backup.IaasVMRecoveryPoint).RecoveryPointTierDetails {
		if *tier.Type == backup.RecoveryPointTierTypeArchivedRP && *tier.Status == backup.RecoveryPointTierStatusRehydrated {
			return t.pointID + " is " + string(*tier.Status), nil
		}
	}
	return "", errors.New("the point is not rehydrated")
}
