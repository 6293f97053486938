package techniques

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

// A record is one CloudTrail record.
type record struct {
	at   time.Time
	body []byte
}

// read returns the records of all files below a path, in the order of time.
func read(t *testing.T, root string) (records []record) {
	t.Helper()
	splitter := ingest.NewSplitter(nil)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(content))
			if err != nil {
				return err
			}
			if content, err = io.ReadAll(z); err != nil {
				return err
			}
		}
		for splitter.Reset(bytes.NewReader(content)); ; {
			item, err := splitter.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			at, err := time.Parse(time.RFC3339, gjson.GetBytes(item.Body, "eventTime").String())
			if err != nil {
				return err
			}
			records = append(records, record{at, bytes.Clone(item.Body)})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	sortByTime(records)
	return records
}

func sortByTime(records []record) {
	slices.SortStableFunc(records, func(a, b record) int { return a.at.Compare(b.at) })
}

// between returns the records of a time.
func between(records []record, from, to time.Time) []record {
	place := func(at time.Time) int {
		n, _ := slices.BinarySearchFunc(records, at, func(r record, at time.Time) int { return r.at.Compare(at) })
		return n
	}
	return records[place(from):place(to)]
}

// A place is where a technique is moved to.
type place struct {
	at      time.Time // of its first record
	account string
	victim  caller // the user whose key the thief has
}

// A caller is who makes calls, from where, and with which program.
type caller struct {
	identity       map[string]any // as records have it
	address, agent string
}

// Where the company of the baseline has its machines, and where calls of global services are recorded.
const homeRegion, globalRegion = "eu-central-1", "us-east-1"

// Services whose calls are recorded in one region, whatever the caller's.
var global = map[string]bool{
	"account.amazonaws.com": true, "ce.amazonaws.com": true, "health.amazonaws.com": true, "iam.amazonaws.com": true,
	"organizations.amazonaws.com": true, "route53.amazonaws.com": true, "signin.amazonaws.com": true,
}

// move puts the records of a technique into another account. They keep their order and the time between them, their calls,
// errors, addresses and programs. The thief becomes the victim; roles, and users that the technique itself has made, keep their
// names. In disguise, all calls from the thief's address come from the victim's, and with the victim's program.
func (p place) move(t *testing.T, records []record, disguise bool) (moved []record) {
	t.Helper()
	account := gjson.GetBytes(records[0].body, "recipientAccountId").String()
	name, address := thief(records)
	for _, r := range records {
		var m map[string]any
		d := json.NewDecoder(bytes.NewReader(bytes.ReplaceAll(r.body, []byte(account), []byte(p.account))))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		at := p.at.Add(r.at.Sub(records[0].at))
		m["eventTime"] = at.Format(time.RFC3339)
		m["awsRegion"] = homeRegion
		if service, _ := m["eventSource"].(string); global[service] {
			m["awsRegion"] = globalRegion
		}
		if disguise && m["sourceIPAddress"] == address {
			m["sourceIPAddress"], m["userAgent"] = p.victim.address, p.victim.agent
		}
		if identity, _ := m["userIdentity"].(map[string]any); name != "" && identity["userName"] == name {
			for _, field := range []string{"arn", "principalId", "userName"} {
				identity[field] = p.victim.identity[field]
			}
			// The key of a console session stays what it is.
			if key, _ := identity["accessKeyId"].(string); strings.HasPrefix(key, longLived) {
				identity["accessKeyId"] = p.victim.identity["accessKeyId"]
			}
		}
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		moved = append(moved, record{at, body})
	}
	return moved
}

// longLived begins the keys of IAM users.
const longLived = "AKIA"

// thief returns the name and the address of whoever makes most of the calls with the key of an IAM user, leaving out users that
// the tool of the data sets has made for the purpose; or nothing.
func thief(records []record) (name, address string) {
	calls := map[[2]string]int{}
	var most [2]string
	for _, r := range records {
		who := [2]string{
			gjson.GetBytes(r.body, "userIdentity.userName").String(), gjson.GetBytes(r.body, "sourceIPAddress").String(),
		}
		key := gjson.GetBytes(r.body, "userIdentity.accessKeyId").String()
		if !strings.HasPrefix(key, longLived) || strings.HasPrefix(who[0], "stratus-red-team") {
			continue
		}
		if calls[who]++; calls[who] > calls[most] {
			most = who
		}
	}
	return most[0], most[1]
}

// known returns a user of the baseline as its records show him.
func known(t *testing.T, baseline []record, name string) (c caller) {
	t.Helper()
	for _, r := range baseline {
		if gjson.GetBytes(r.body, "userIdentity.userName").String() != name {
			continue
		}
		if err := json.Unmarshal([]byte(gjson.GetBytes(r.body, "userIdentity").Raw), &c.identity); err != nil {
			t.Fatal(err)
		}
		c.address = gjson.GetBytes(r.body, "sourceIPAddress").String()
		c.agent = gjson.GetBytes(r.body, "userAgent").String()
		return c
	}
	t.Fatalf("the baseline has no user %s", name)
	return c
}
