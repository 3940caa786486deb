package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v7"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
)

const (
	group    = "rg-go"
	location = "westeurope"
	vmName   = "go-01"
)

// tour walks through one estate; each step leaves behind what later ones need.
type tour struct {
	ctx      context.Context
	clients  *clients
	settings settings

	nicID, vmID, policyID, pointID string
	networkID, subnetID            string
}

// done polls an operation to its end, as often as the SDK allows.
func done[T any](ctx context.Context, poller *runtime.Poller[T], err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return poller.PollUntilDone(ctx, &runtime.PollUntilDoneOptions{Frequency: 1_000_000_000})
}

// all follows a pager to its end: the items and the number of pages.
func all[P, T any](ctx context.Context, pager *runtime.Pager[P], items func(P) []*T) ([]*T, int, error) {
	var found []*T
	pages := 0
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, pages, err
		}
		pages++
		found = append(found, items(page)...)
	}
	return found, pages, nil
}

func (t *tour) wrongSecret() (string, error) {
	clients, err := logIn(t.settings, "not the secret")
	if err != nil {
		return "", err
	}
	groups, err := armresources.NewResourceGroupsClient(t.settings.subscription, clients.credential, clients.options)
	if err != nil {
		return "", err
	}
	_, err = groups.Get(t.ctx, "rg-shop", nil)
	var failed *azidentity.AuthenticationFailedError
	if err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		return "", fmt.Errorf("expected AADSTS7000215, got %w", orNothing(err))
	}
	return fmt.Sprintf("%T", failed)[1:], nil
}

func (t *tour) federated() (string, error) {
	stranger, stop, err := federate(t.ctx, t.settings, "system:serviceaccount:elsewhere:nobody")
	if err != nil {
		return "", err
	}
	list := func(c *clients) ([]*armcompute.VirtualMachine, error) {
		machines, err := armcompute.NewVirtualMachinesClient(t.settings.subscription, c.credential, c.options)
		if err != nil {
			return nil, err
		}
		found, _, err := all(t.ctx, machines.NewListAllPager(nil), func(p armcompute.VirtualMachinesClientListAllResponse) []*armcompute.VirtualMachine { return p.Value })
		return found, err
	}
	_, err = list(stranger)
	stop()
	if err == nil || !strings.Contains(err.Error(), "AADSTS700213") {
		return "", fmt.Errorf("expected AADSTS700213, got %w", orNothing(err))
	}
	workload, stop, err := federate(t.ctx, t.settings, t.settings.subject)
	if err != nil {
		return "", err
	}
	defer stop()
	machines, err := list(workload)
	if err != nil {
		return "", err
	}
	groups, err := armresources.NewResourceGroupsClient(t.settings.subscription, workload.credential, workload.options)
	if err != nil {
		return "", err
	}
	_, err = groups.CreateOrUpdate(t.ctx, group, armresources.ResourceGroup{Location: to.Ptr(location)}, nil)
	return fmt.Sprintf("sees %d machines, may make no group", len(machines)), refusedWith(err, 403, "AuthorizationFailed")
}

func (t *tour) group() (string, error) {
	groups, err := armresources.NewResourceGroupsClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	made, err := groups.CreateOrUpdate(t.ctx, group, armresources.ResourceGroup{Location: to.Ptr(location), Tags: map[string]*string{"app": to.Ptr("go")}}, nil)
	if err != nil {
		return "", err
	}
	there, err := groups.CheckExistence(t.ctx, group, nil)
	if err != nil || !there.Success {
		return "", fmt.Errorf("the group is not there: %w", orNothing(err))
	}
	return *made.ID, nil
}

func (t *tour) network() (string, error) {
	networks, err := armnetwork.NewVirtualNetworksClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	poller, err := networks.BeginCreateOrUpdate(t.ctx, group, "vn", armnetwork.VirtualNetwork{Location: to.Ptr(location),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{
			AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{to.Ptr("10.9.0.0/16")}},
			Subnets:      []*armnetwork.Subnet{{Name: to.Ptr("s"), Properties: &armnetwork.SubnetPropertiesFormat{AddressPrefix: to.Ptr("10.9.0.0/24")}}},
		}}, nil)
	network, err := done(t.ctx, poller, err)
	if err != nil {
		return "", err
	}
	t.networkID, t.subnetID = *network.ID, *network.Properties.Subnets[0].ID
	interfaces, err := armnetwork.NewInterfacesClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	making, err := interfaces.BeginCreateOrUpdate(t.ctx, group, "nic", armnetwork.Interface{Location: to.Ptr(location),
		Properties: &armnetwork.InterfacePropertiesFormat{IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{Name: to.Ptr("ipconfig1"),
			Properties: &armnetwork.InterfaceIPConfigurationPropertiesFormat{Subnet: &armnetwork.Subnet{ID: network.Properties.Subnets[0].ID}}}}}}, nil)
	made, err := done(t.ctx, making, err)
	if err != nil {
		return "", err
	}
	t.nicID = *made.ID
	return fmt.Sprintf("%s at %s", *made.Name, *made.Properties.IPConfigurations[0].Properties.PrivateIPAddress), nil
}

func (t *tour) machines() (*armcompute.VirtualMachinesClient, error) {
	return armcompute.NewVirtualMachinesClient(t.settings.subscription, t.clients.credential, t.clients.options)
}

func (t *tour) machine() (string, error) {
	machines, err := t.machines()
	if err != nil {
		return "", err
	}
	poller, err := machines.BeginCreateOrUpdate(t.ctx, group, vmName, armcompute.VirtualMachine{Location: to.Ptr(location),
		Properties: &armcompute.VirtualMachineProperties{
			HardwareProfile: &armcompute.HardwareProfile{VMSize: to.Ptr(armcompute.VirtualMachineSizeTypesStandardB2S)},
			StorageProfile: &armcompute.StorageProfile{
				ImageReference: &armcompute.ImageReference{Publisher: to.Ptr("Canonical"), Offer: to.Ptr("ubuntu-24_04-lts"), SKU: to.Ptr("server"), Version: to.Ptr("latest")},
				DataDisks:      []*armcompute.DataDisk{{Lun: to.Ptr[int32](0), CreateOption: to.Ptr(armcompute.DiskCreateOptionTypesEmpty), DiskSizeGB: to.Ptr[int32](16)}},
			},
			OSProfile:      &armcompute.OSProfile{ComputerName: to.Ptr(vmName), AdminUsername: to.Ptr("me"), AdminPassword: to.Ptr("Not-a-secret-1")},
			NetworkProfile: &armcompute.NetworkProfile{NetworkInterfaces: []*armcompute.NetworkInterfaceReference{{ID: to.Ptr(t.nicID)}}},
		}}, nil)
	made, err := done(t.ctx, poller, err)
	if err != nil {
		return "", err
	}
	if *made.Properties.ProvisioningState != "Succeeded" || made.Properties.StorageProfile.OSDisk.ManagedDisk.ID == nil {
		return "", fmt.Errorf("the machine is %s, its disk %v", *made.Properties.ProvisioningState, made.Properties.StorageProfile.OSDisk)
	}
	t.vmID = *made.ID
	return *made.Properties.VMID, nil
}

func (t *tour) power() (string, error) {
	machines, err := t.machines()
	if err != nil {
		return "", err
	}
	state := func() string {
		view, err := machines.InstanceView(t.ctx, group, vmName, nil)
		if err != nil {
			return err.Error()
		}
		return *view.Statuses[len(view.Statuses)-1].Code
	}
	off, err := machines.BeginDeallocate(t.ctx, group, vmName, nil)
	if _, err = done(t.ctx, off, err); err != nil {
		return "", err
	}
	then := state()
	on, err := machines.BeginStart(t.ctx, group, vmName, nil)
	if _, err = done(t.ctx, on, err); err != nil {
		return "", err
	}
	if now := state(); then != "PowerState/deallocated" || now != "PowerState/running" {
		return "", fmt.Errorf("%s, then %s", then, now)
	}
	return then + ", then " + state(), nil
}

func (t *tour) tags() (string, error) {
	tags, err := armresources.NewTagsClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	poller, err := tags.BeginUpdateAtScope(t.ctx, t.vmID, armresources.TagsPatchResource{Operation: to.Ptr(armresources.TagsPatchOperationMerge),
		Properties: &armresources.Tags{Tags: map[string]*string{"stage": to.Ptr("test")}}}, nil)
	if _, err := done(t.ctx, poller, err); err != nil {
		return "", err
	}
	machines, err := t.machines()
	if err != nil {
		return "", err
	}
	machine, err := machines.Get(t.ctx, group, vmName, nil)
	if err != nil || machine.Tags["stage"] == nil {
		return "", fmt.Errorf("the machine has no tag: %w", orNothing(err))
	}
	return "stage=" + *machine.Tags["stage"], nil
}

func (t *tour) resources() (string, error) {
	resources, err := armresources.NewClient(t.settings.subscription, t.clients.credential, t.clients.options)
	if err != nil {
		return "", err
	}
	list := func(top int32) ([]*armresources.GenericResourceExpanded, int, error) {
		options := &armresources.ClientListOptions{Top: to.Ptr(top)}
		return all(t.ctx, resources.NewListPager(options), func(p armresources.ClientListResponse) []*armresources.GenericResourceExpanded { return p.Value })
	}
	whole, _, err := list(1000)
	if err != nil {
		return "", err
	}
	paged, pages, err := list(7)
	if err != nil {
		return "", err
	}
	if len(paged) != len(whole) || pages < 4 {
		return "", fmt.Errorf("%d in one page, %d in %d", len(whole), len(paged), pages)
	}
	return fmt.Sprintf("%d in %d pages", len(paged), pages), nil
}
