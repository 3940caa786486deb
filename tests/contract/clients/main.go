// Command clients works with azure-sim as any user of the official Go SDK works with Azure: it logs in over HTTPS, makes a
// machine, backs it up, waits, looks, restores in every way, stops, deletes and undeletes. One line per step; the first
// mismatch ends it with 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"
)

// settings say where the simulator is and who we are there; the secret comes by environment.
type settings struct {
	origin, ca, subscription, tenant string
	door                             string
	admin, operator                  string
	issuer, subject                  string
}

func main() {
	var s settings
	flag.StringVar(&s.origin, "origin", "", "https origin of azure-sim")
	flag.StringVar(&s.ca, "ca", "", "PEM file of its authority")
	flag.StringVar(&s.subscription, "subscription", "", "a subscription of its estate")
	flag.StringVar(&s.tenant, "tenant", "", "the tenant")
	flag.StringVar(&s.admin, "admin", "", "client id of an owner; its secret is in CLIENT_SECRET")
	flag.StringVar(&s.operator, "operator", "", "client id that trusts tokens of -issuer for -subject")
	flag.StringVar(&s.issuer, "issuer", "", "http origin on loopback at which this program is an issuer of tokens")
	flag.StringVar(&s.subject, "subject", "", "the subject of such a token")
	flag.StringVar(&s.door, "admin-door", "", "origin of the simulator's admin door, to turn its clock")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if err := run(ctx, s); err != nil {
		fmt.Println("MISMATCH", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	clients, err := logIn(s, os.Getenv("CLIENT_SECRET"))
	if err != nil {
		return err
	}
	t := &tour{ctx: ctx, clients: clients, settings: s}
	steps := []struct {
		name string
		run  func() (string, error)
	}{
		{"a wrong secret is refused by Entra", t.wrongSecret},
		{"a federated token is accepted, and its roles hold", t.federated},
		{"a resource group", t.group},
		{"a network and an interface", t.network},
		{"a virtual machine", t.machine},
		{"off and on again", t.power},
		{"tags at its scope", t.tags},
		{"every resource, page by page", t.resources},
		{"a vault with its settings", t.vault},
		{"a policy", t.policy},
		{"protection", t.protect},
		{"a backup, to the end of its job", t.backup},
		{"its recovery point", t.points},
		{"a backup cancelled", t.backupCancelled},
		{"a restore validated", t.validated},
		{"disks restored, all and some", t.restored},
		{"disks restored as blobs", t.blobs},
		{"a new machine restored", t.newMachine},
		{"disks replaced", t.replaced},
		{"a restore through no account", t.noAccount},
		{"a restore cancelled", t.restoreCancelled},
		{"files recovered", t.files},
		{"a resource guard", t.guarded},
		{"stopped, points retained", t.stop},
		{"deleted softly, and undeleted", t.undelete},
		{"resumed", t.resume},
		{"jobs of the vault, page by page", t.jobs},
		{"the archive, there and back", t.archived},
		{"a vault in use is not deleted", t.refused},
	}
	for _, step := range steps {
		begun := time.Now()
		said, err := step.run()
		if err != nil {
			return fmt.Errorf("at %q: %w", step.name, err)
		}
		fmt.Printf("ok %4.1f s  %s: %s\n", time.Since(begun).Seconds(), step.name, said)
	}
	return nil
}
