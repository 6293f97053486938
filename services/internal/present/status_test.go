package present

import (
	"strings"
	"testing"
	"time"

	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/dead"
	"github.com/trailvane/trailvane/services/internal/status"
)

// troubled is a deployment in which much is wrong, some of it made up by an attacker.
func troubled() *status.Status {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	s := &status.Status{
		At: now, Headline: "needs attention: aggregator 1 has halted: " + hostile,
		Problems: []status.Problem{
			{Kind: status.Halted, Text: "aggregator 1 has halted: " + hostile, Advice: "look"},
			{Kind: status.SilentLane, Text: "lane 1 is silent: its connector has put nothing for 3 h", Advice: "look at its ingest"},
		},
		Deployment: &status.Deployment{Lanes: 4, Partitions: 3, Lateness: 15, Learn: 24 * 60, Budget: 1},
		Instances:  []status.Instance{{ID: "a", Version: "1.0"}, {ID: "evil\x1b[2J"}},
		Stages: []status.Stage{
			{Name: "ingest", Partitions: []status.Partition{
				{Partition: 0, State: status.Running, Owner: "a", Position: 5, Committed: ago(time.Second)},
				{Partition: 1, State: status.Running, Owner: "a", Position: 5, Committed: ago(3 * time.Hour)},
				{Partition: 2, State: status.Never}, {Partition: 3, State: status.Never},
			}},
			{Name: "aggregator", Partitions: []status.Partition{
				{Partition: 0, State: status.Running, Owner: "a", Lag: 1, Committed: ago(4 * time.Second)},
				{Partition: 1, State: status.HaltedNow, Owner: "evil\x1b[2J", Lag: 12345, Committed: ago(50 * time.Minute), Reason: hostile},
				{Partition: 2, State: status.Unowned, Lag: 7, Committed: ago(80 * time.Hour)},
			}},
		},
		Lanes: []status.Lane{
			{Lane: 0, State: status.Fed, LastRecord: ago(time.Second), LastChunk: ago(time.Minute), LastTick: ago(time.Second)},
			{Lane: 1, State: status.Silent, LastRecord: ago(3 * time.Hour), LastChunk: ago(4 * time.Hour)},
			{Lane: 2, State: status.Unused}, {Lane: 3, State: status.Unused},
		},
		Accounts: status.Accounts{
			Total: 30, Learning: 25, Silent: 1,
			Least: []status.Learning{{Provider: schemas.AWS, Account: hostile, Seen: 50, Needed: 1440}},
			Quiet: []status.SilentAccount{{Provider: schemas.Alibaba, Account: "1234567890123456", Lane: 1, Newest: monday}},
		},
		Watermarks: status.Watermarks{
			Total: 40, Idle: 3,
			Behind: []status.Watermark{{
				Provider: schemas.AWS, Account: "123456789012", Region: hostile, Newest: monday + 20, Watermark: monday + 5,
			}},
		},
		Dead: status.Dead{
			Total: 1234, ByStage: map[string]uint64{"ingest": 1000, "normalizer": 234}, Scanned: 1000,
			ByReason: map[string]uint64{"malformed": 990, hostile: 10}, LastDay: 1000, Newest: ago(2 * time.Second),
		},
		Streams: []status.Stream{
			{Name: "DEAD", Messages: 1234, Bytes: 40 << 20}, {Name: "KV_STATE_aggregator", Messages: 4, Bytes: 5 << 20, Limit: 64 << 20},
			{Name: "RAW_0", Messages: 9, Bytes: 97 << 20, Limit: 100 << 20, Waits: true},
		},
	}
	return s
}

func TestStatus(t *testing.T) {
	golden(t, "status.txt", Status(troubled()))
	golden(t, "status_none.txt", Status(&status.Status{
		Headline: "nothing here: there is no deployment on this server",
		Problems: []status.Problem{{Kind: status.NoDeployment, Text: "there is no deployment on this server", Advice: "create one"}},
	}))
}

func letters() []dead.Letter {
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	one := dead.Letter{Seq: 7, Time: at, Producer: "normalizer.3.g0", DeadLetter: schemas.DeadLetter{
		Stage: "normalizer", Object: "AWSLogs/123456789012/CloudTrail/eu-west-1/2026/03/10/" + hostile + "/1.json.gz", Offset: 1200,
		Size: 70000, Reason: "malformed", Error: "no record: " + hostile, Raw: []byte("{\"userAgent\":\"" + hostile + "é\"}"),
	}}
	two := dead.Letter{Seq: 8, Time: at, Producer: "ingest.0.g0", DeadLetter: schemas.DeadLetter{
		Stage: "ingest", Object: "a.gz", Size: -1, Reason: "corrupt", Error: "broken",
	}}
	return []dead.Letter{two, one}
}

func TestDead(t *testing.T) {
	all := letters()
	golden(t, "dead_list.txt", DeadList(all, 12))
	golden(t, "dead_none.txt", DeadList(nil, 0))
	golden(t, "dead_show.txt", DeadLetter(&all[1], 1<<20)+"\n"+DeadLetter(&all[1], 20)+"\n"+DeadLetter(&all[0], 10))
}

// A cut within a character does not break it.
func TestDeadLetterIsCutBetweenCharacters(t *testing.T) {
	l := dead.Letter{DeadLetter: schemas.DeadLetter{Raw: []byte("ééééé")}}
	for most := range 10 {
		if text := DeadLetter(&l, most); strings.Contains(text, `\x`) {
			t.Errorf("%d bytes: %q", most, text)
		}
	}
}

// Nothing that a log may hold reaches the terminal as it is.
func TestStatusIsSafe(t *testing.T) {
	all := letters()
	for name, text := range map[string]string{
		"status": Status(troubled()), "list": DeadList(all, 2), "show": DeadLetter(&all[1], 1<<20),
	} {
		for _, r := range text {
			if r != '\n' && (r < ' ' || r == 0x7f || r == '\u202e' || r == '\u200b' || r == '\ufffd') {
				t.Errorf("%s holds %q", name, r)
			}
		}
		if strings.Contains(text, "\nALL IS WELL") {
			t.Errorf("%s: a line is forged", name)
		}
	}
}
