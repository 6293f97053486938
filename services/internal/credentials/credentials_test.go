package credentials

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/services/internal/stages"
)

const region = "eu-central-1"

// secured makes credentials and runs a server that knows them.
func secured(t *testing.T) (url, dir string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := Make(dir, Roles(region)); err != nil {
		t.Fatal(err)
	}
	s := jetstreamtest.Start(t, func(o *server.Options) {
		if err := o.ProcessConfigFile(filepath.Join(dir, ServerFile)); err != nil {
			t.Fatal(err)
		}
	})
	return "nats://" + s.Addr().String(), dir
}

// A thing is something on the bus, and who may do it, beside admin.
type thing struct {
	subject string
	by      []string
}

// things are one of each kind that there is: every stream, every bucket, every call that changes or reads one.
func things() (all []thing) {
	var detectors []string
	for _, t := range stages.Types() {
		detectors = append(detectors, DetectorName(t))
	}
	services := slices.Concat([]string{"ingest", "normalizer", "aggregator", "pairer"}, detectors)
	add := func(subject string, by ...string) { all = append(all, thing{subject, by}) }

	add("raw.0.cloudtrail", "ingest")
	add("raw.31.tick", "ingest")
	add("events.0.eu-central-1", "normalizer")
	add("events.31.settings", "normalizer")
	add("windows.0.eu-central-1.counts", "aggregator")
	add("metrics.eu-central-1.aws-1", "aggregator")
	add("insights.eu-central-1.aws-1.AkInsight.id", "pairer")
	add("anything.else")
	add("$JS.API.STREAM.NAMES", Viewer)
	for i, t := range stages.Types() {
		add("findings.0.eu-central-1."+string(t), detectors[i])
		add("findings.31.all."+string(t), detectors[i])
	}

	// The stages by name: who has its state, and who reads which flow.
	owner := make(map[string]string)
	for i, t := range stages.Types() {
		owner["detector-"+string(t)] = detectors[i]
	}
	for _, name := range []string{"ingest", "normalizer", "aggregator", "pairer"} {
		owner[name] = name
	}
	for _, stage := range stages.Names() {
		if owner[stage] == "" {
			panic("nobody owns stage " + stage)
		}
		dead := []string{}
		if stage == "ingest" || stage == "normalizer" {
			dead = append(dead, owner[stage])
		}
		add("dead."+stage, dead...)
		add("$KV."+jetstream.StateBucket(stage)+".3.page", owner[stage])
		readers := []string{owner[stage], Viewer}
		add("$JS.API.CONSUMER.CREATE.KV_"+jetstream.StateBucket(stage)+".c", readers...)
		add("$JS.API.STREAM.PURGE.KV_" + jetstream.StateBucket(stage))
	}
	add("$KV.MEMBERS.somebody", services...)
	add("$KV.PUSHED.head.0", "ingest")
	add("$KV.DEPLOYMENT.identity")
	add("$KV.DEPLOYMENT.readers")

	flows := map[string][]string{
		"RAW_0": {"normalizer"}, "RAW_31": {"normalizer"}, "EVENTS_0": {"aggregator"}, "EVENTS_31": {"aggregator"}, "WINDOWS_0": detectors,
		"WINDOWS_31": detectors, "FINDINGS_0": {"pairer"}, "FINDINGS_31": {"pairer"},
	}
	for stream, readers := range flows {
		add("$JS.API.STREAM.PURGE."+stream, readers...)
		if strings.HasPrefix(stream, "RAW") {
			readers = append(slices.Clone(readers), "ingest")
		}
		add("$JS.API.CONSUMER.CREATE."+stream+".c", readers...)
		add("$JS.API.CONSUMER.MSG.NEXT."+stream+".c", readers...)
	}
	kept := []string{"INSIGHTS", "METRICS", "DEAD"}
	for _, stream := range kept {
		add("$JS.API.STREAM.PURGE." + stream)
		add("$JS.API.CONSUMER.CREATE."+stream+".c", Viewer)
	}
	add("$JS.API.CONSUMER.CREATE.INSIGHTS.c.insights.eu-central-1.>", Viewer, Viewer+"-"+region)
	add("$JS.API.CONSUMER.CREATE.INSIGHTS.c.insights.us-east-1.>", Viewer)
	add("$JS.API.CONSUMER.CREATE.INSIGHTS.c.insights.>", Viewer)
	add("$JS.API.STREAM.MSG.GET.INSIGHTS", Viewer, "pairer")
	add("$JS.API.DIRECT.GET.INSIGHTS")
	add("$JS.API.DIRECT.GET.RAW_0")
	add("$JS.API.DIRECT.GET.INSIGHTS.insights.eu-central-1.aws-1.AkInsight.id")
	add("$JS.API.DIRECT.GET.KV_MEMBERS", append(slices.Clone(services), Viewer)...)
	for _, call := range []string{"DELETE", "UPDATE", "CREATE", "SNAPSHOT", "RESTORE", "MSG.DELETE"} {
		for _, stream := range append(slices.Sorted(keys(flows)), append(kept, "KV_STATE_ingest", "KV_DEPLOYMENT", "KV_MEMBERS")...) {
			add("$JS.API.STREAM." + call + "." + stream)
		}
	}
	for _, name := range services {
		add(Inbox(name) + ".answer") // forged
	}
	return all
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var violation = regexp.MustCompile(`Permissions Violation for (?:Publish|Subscription) to "([^"]+)"`)

// refused returns what a role is refused of what it tries.
func refused(t *testing.T, url, dir, role string, try func(*nats.Conn)) map[string]bool {
	t.Helper()
	const last = "the.last"
	errs := make(chan string, 10_000)
	nc, err := nats.Connect(url, nats.UserCredentials(filepath.Join(dir, FileOf(role))), nats.CustomInboxPrefix(Inbox(role)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err.Error() }))
	if err != nil {
		t.Fatalf("%s: %v", role, err)
	}
	defer nc.Close()
	try(nc)
	if err := nc.Publish(last, nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for role != Admin && !got[last] {
		select {
		case e := <-errs:
			if m := violation.FindStringSubmatch(e); m != nil {
				got[m[1]] = true
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the server has not refused %s", role, last)
		}
	}
	return got
}

// Each role tries everything that can be done. What is not its work is refused.
func TestRolesMayDoTheirWorkOnly(t *testing.T) {
	url, dir := secured(t)
	all := things()
	for _, role := range Roles(region) {
		got := refused(t, url, dir, role.Name, func(nc *nats.Conn) {
			for _, thing := range all {
				if err := nc.PublishMsg(&nats.Msg{Subject: thing.subject, Reply: Inbox(role.Name) + ".r"}); err != nil {
					t.Fatal(err)
				}
			}
		})
		for _, thing := range all {
			may := role.Name == Admin || slices.Contains(thing.by, role.Name)
			if got[thing.subject] == may {
				t.Errorf("%s may do %s: %t, want %t", role.Name, thing.subject, !may, may)
			}
		}
	}
}

// Nobody hears what is not meant for him: data streams are read through the server's consumers, answers are everybody's own.
func TestRolesHearTheirAnswersOnly(t *testing.T) {
	url, dir := secured(t)
	roles := Roles(region)
	for _, role := range roles {
		if role.Name == Admin {
			continue
		}
		subjects := []string{">", "raw.>", "events.*.>", "insights.>", "insights.eu-central-1.>", "$KV.>", "$JS.API.>", "_INBOX.>", "$SYS.>"}
		for _, other := range roles {
			subjects = append(subjects, Inbox(other.Name)+".>")
		}
		got := refused(t, url, dir, role.Name, func(nc *nats.Conn) {
			for _, s := range subjects {
				if _, err := nc.SubscribeSync(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		})
		for _, s := range subjects {
			if own := s == Inbox(role.Name)+".>"; got[s] == own {
				t.Errorf("%s hears %s: %t, want %t", role.Name, s, !own, own)
			}
		}
	}
}

// What is there stays, what is missing is made, and what a role may do is written anew.
func TestMakeAgain(t *testing.T) {
	dir := t.TempDir()
	wrote, err := Make(dir, Roles())
	if err != nil || !slices.Contains(wrote, FileOf("pairer")) || !slices.Contains(wrote, TokensFile) {
		t.Fatal(wrote, err)
	}
	read := func(file string) string {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	pairer, token := read(FileOf("pairer")), read(TokensFile)
	if err := os.Remove(filepath.Join(dir, FileOf("ingest"))); err != nil {
		t.Fatal(err)
	}
	wrote, err = Make(dir, Roles(region))
	want := []string{FileOf("ingest"), "keys/role-viewer-" + region + ".nk", ServerFile, FileOf(Viewer + "-" + region)}
	slices.Sort(want)
	if err != nil || !slices.Equal(wrote, want) {
		t.Errorf("wrote %v, %v; want %v", wrote, err, want)
	}
	if read(FileOf("pairer")) != pairer || read(TokensFile) != token {
		t.Error("what was there has changed")
	}
	if regions, err := Regions(dir); err != nil || !slices.Equal(regions, []string{region}) {
		t.Errorf("regions %v, %v", regions, err)
	}
	if server := read(ServerFile); strings.Contains(server, "SU") && regexp.MustCompile(`\bS[UAO][A-Z2-7]{50,}`).MatchString(server) {
		t.Error("the servers' part holds a seed")
	}
	for _, file := range []string{"keys/operator.nk", "keys/role-pairer.nk"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; only its owner may read it", file, info.Mode(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "keys/operator.nk"), []byte("no seed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(dir, Roles()); err == nil || !strings.Contains(err.Error(), "holds no seed") {
		t.Errorf("a broken seed: %v", err)
	}
}

// Servers take what has changed without being started again: a role that is new, and one whose key is gone.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	if _, err := Make(dir, Roles()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "server.conf")
	config := fmt.Sprintf("listen: \"127.0.0.1:-1\"\njetstream { store_dir: %q }\ninclude %s\n", jetstreamtest.Dir(t), ServerFile)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := jetstreamtest.Start(t, func(o *server.Options) {
		*o = server.Options{}
		if err := o.ProcessConfigFile(file); err != nil {
			t.Fatal(err)
		}
	})
	lets := func(creds string) bool {
		nc, err := nats.Connect(s.ClientURL(), nats.UserCredentials(creds))
		if err == nil {
			nc.Close()
		}
		return err == nil
	}
	stolen := filepath.Join(t.TempDir(), "stolen.creds")
	if err := os.Rename(filepath.Join(dir, FileOf("pairer")), stolen); err != nil {
		t.Fatal(err)
	}
	if !lets(stolen) {
		t.Fatal("the pairer is not let in")
	}
	if err := os.Remove(filepath.Join(dir, keysFolder, "role-pairer.nk")); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // what is signed says when, in seconds
	if _, err := Make(dir, Roles(region)); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if lets(stolen) {
		t.Error("a role whose key is gone is let in")
	}
	for _, role := range []string{"pairer", "ingest", Viewer + "-" + region} {
		if !lets(filepath.Join(dir, FileOf(role))) {
			t.Errorf("%s is not let in", role)
		}
	}
}
