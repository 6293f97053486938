package analyze

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/mmdb/mmdbtest"
)

// journey is twelve days of ann at home, and an hour of somebody else with her key.
func journey(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	record := func(at time.Time, ip string) {
		fmt.Fprintf(&b, `{"eventVersion":"1.09","eventID":"%032d","eventTime":%q,"eventSource":"s3.amazonaws.com","eventName":"ListBuckets",`+
			`"awsRegion":"eu-west-1","readOnly":true,"eventCategory":"Management","recipientAccountId":"123456789012","sourceIPAddress":%q,`+
			`"userAgent":"aws-cli/2","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/ann","accountId":"123456789012"}}`+"\n",
			b.Len(), at.Format(time.RFC3339), ip)
	}
	for i := range 12 * 4 {
		record(at.Add(time.Duration(i)*6*time.Hour), "203.0.113.7")
	}
	for i := range 10 {
		record(at.AddDate(0, 0, 12).Add(time.Duration(i)*time.Minute), "198.51.100.9")
	}
	file := filepath.Join(t.TempDir(), "cloudtrail.json")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Networks and countries come from the database into the insight; without one the same address is told by its prefixes. A store
// goes on with another database.
func TestDatabases(t *testing.T) {
	logs := journey(t)
	file := mmdbtest.Write(t, "Example", map[string]mmdbtype.Map{
		"203.0.113.0/24":  {"asn": mmdbtype.String("AS64500"), "name": mmdbtype.String("Home Net"), "country_code": mmdbtype.String("DE")},
		"198.51.100.0/24": {"asn": mmdbtype.String("AS64510"), "name": mmdbtype.String("Example Hosting"), "country_code": mmdbtype.String("NL")},
	})
	store := filepath.Join(t.TempDir(), "store")
	for _, c := range []struct {
		files        []string
		store        string
		asn, country string
	}{{files: []string{file}, asn: "AS64510 Example Hosting", country: "NL"}, {}, {store: store}, {files: []string{file}, store: store}} {
		r, err := Run(t.Context(), Options{
			Paths: []string{logs}, Store: c.store, Partitions: 1, Settings: schemas.DefaultSettings(), Databases: c.files,
			Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		var found []schemas.Insight
		for _, i := range r.Insights {
			if i.Details.Type == schemas.IP && i.Details.State == schemas.StartState {
				found = append(found, i)
			}
		}
		if len(found) != 1 || found[0].Details.Object != "198.51.100.9" {
			t.Fatalf("with %v: found %+v", c.files, found)
		}
		if why := found[0].Details.Trailvane.Why.Address; c.store == "" && (why == nil || why.ASN != c.asn || why.Country != c.country) {
			t.Errorf("with %v: %+v, want %q and %q", c.files, why, c.asn, c.country)
		}
	}
}

// A database that cannot be used is an error before anything is read.
func TestBrokenDatabase(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.mmdb")
	if err := os.WriteFile(broken, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(t.TempDir(), "store")
	_, err := Run(t.Context(), Options{Paths: []string{journey(t)}, Store: store, Partitions: 1, Databases: []string{broken}})
	if err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("got error %v, want one that names %s", err, broken)
	}
	if _, err := os.Stat(store); err == nil {
		t.Error("the store was made all the same")
	}
}
