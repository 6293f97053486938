package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/trailvane/trailvane/services/internal/credentials"
)

type credentialsCommand struct {
	Folder string `arg:"" type:"path" help:"Folder to write to, made if it is missing. Whoever can read it can do everything: keep it away from others."`

	Hosts   []string `placeholder:"HOST,..." help:"Also a certificate for NATS servers with these names and addresses, signed by an authority of the deployment's own, and renewed three months before its end: ca.pem for --tls-ca, server.pem and server-key.pem for the servers."`
	Regions []string `placeholder:"REGION,..." help:"Also credentials viewer-REGION, for reading the insights of one region and nothing else."`
}

// Help is shown below the flags.
func (credentialsCommand) Help() string {
	return "Each service gets a file ROLE.creds, for its --creds, that lets it do on the NATS servers what it must and nothing else; admin may do " +
		"everything (deploy, readers, backup, restore, dead replay), viewer may look (status, tail, dead list). " +
		credentials.ServerFile + " belongs into the servers' configuration: include it. " + credentials.TokensFile + " holds a token for " +
		"ingest --http-token-file. What is in the folder stays; " + credentials.ServerFile + " is written anew, so run it again after an upgrade, " +
		"and reload the servers. To lock somebody out, remove ROLE.creds and keys/role-ROLE.nk, run it again, and reload.\n\n" +
		"Example: trailvane credentials --regions eu-central-1 /etc/trailvane/nats\n\nExit codes: 0 done; 1 failed; 2 wrong usage."
}

// regionName is what can be a region here: it becomes part of a file's name.
var regionName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Run writes the files.
func (c *credentialsCommand) Run(con console) error {
	if len(c.Regions) > 64 {
		return usagef("--regions: %d, at most 64 are possible", len(c.Regions))
	}
	for _, region := range c.Regions {
		if !regionName.MatchString(region) {
			return usagef("--regions: %.64q is no region, such as eu-central-1", region)
		}
	}
	there, err := credentials.Regions(c.Folder)
	if err != nil {
		return err
	}
	regions := append(there, c.Regions...)
	slices.Sort(regions)
	wrote, err := credentials.Make(c.Folder, credentials.Roles(slices.Compact(regions)...))
	if err == nil && len(c.Hosts) > 0 {
		var more []string
		more, err = credentials.MakeTLS(c.Folder, c.Hosts, time.Now())
		wrote = append(wrote, more...)
	}
	for _, file := range wrote {
		fmt.Fprintln(con.out, filepath.Join(c.Folder, file))
	}
	if err != nil {
		return fmt.Errorf("make credentials in %s: %w", c.Folder, err)
	}
	if info, err := os.Stat(c.Folder); err == nil && info.Mode().Perm()&0o011 != 0 {
		// Services in containers are other users, so that the files cannot be for the owner alone.
		fmt.Fprintf(con.err, "trailvane: others on this host can enter %s and read credentials there: chmod 700 %[1]s\n", c.Folder)
	}
	return nil
}
