// Package mmdbtest makes small databases for tests, because those that people use may not be passed on.
package mmdbtest

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Write makes a database of some networks, built on 2026-03-01.
func Write(t *testing.T, kind string, entries map[string]mmdbtype.Map) string {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, BuildEpoch: 1772323200, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, entry := range entries {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(network, entry); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), kind+".mmdb")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}
