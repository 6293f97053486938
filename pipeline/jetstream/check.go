package jetstream

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Problem is a setting of a stream or bucket by which a promise breaks.
type Problem struct {
	Stream string
	Field  string // as the server calls it
	Is     string
	Should string
	Why    string // what breaks
	Do     string // how it is mended
}

// String is one line.
func (p Problem) String() string {
	return fmt.Sprintf("%s: %s is %s, should be %s (%s): %s", p.Stream, p.Field, p.Is, p.Should, p.Why, p.Do)
}

// A PromiseError says that somebody has configured streams so that promises break. Nothing was changed.
type PromiseError struct{ Problems []Problem }

// Error names every problem on a line of its own.
func (e *PromiseError) Error() string {
	var b strings.Builder
	b.WriteString("streams are configured so that promises break; nothing was changed")
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

// A rule is a setting that Trailvane depends on, and that somebody may have had a reason to change: it is reported, not
// overwritten. What no rule names is either ours (see adjust) or harmless, such as a description, placement, compression,
// republishing, or more replicas than asked, and stays as it is.
type rule struct {
	field string
	value func(*jetstream.StreamConfig) string // that is compared and shown
	why   string
	edit  string // arguments of "nats stream edit"; empty if only a new stream has it otherwise
	of    func(*jetstream.StreamConfig) bool
}

func every(*jetstream.StreamConfig) bool { return true }

func isBucket(c *jetstream.StreamConfig) bool { return strings.HasPrefix(c.Name, bucketStream("")) }

// isKept reports whether a stream forgets by age, and not because a reader has had it.
func isKept(c *jetstream.StreamConfig) bool { return !isBucket(c) && c.Discard == jetstream.DiscardOld }

func isQueue(c *jetstream.StreamConfig) bool { return !isBucket(c) && !isKept(c) }

func isNotKept(c *jetstream.StreamConfig) bool { return !isKept(c) }

func isInsights(c *jetstream.StreamConfig) bool { return c.Name == InsightsStream }

// limit writes a number that is no limit unless it is positive.
func limit[N int | int32 | int64](n N) string {
	if n <= 0 {
		return "none"
	}
	return strconv.FormatInt(int64(n), 10)
}

// The rules, by field. A rule applies by what the stream should be.
var rules = []rule{
	{
		"subjects", func(c *jetstream.StreamConfig) string { return strings.Join(c.Subjects, ",") },
		"records go elsewhere, or foreign ones come in", "--subjects=%s", every,
	},
	{
		"retention", func(c *jetstream.StreamConfig) string { return strings.ToLower(c.Retention.String()) },
		"records go before every reader has had them", "", every,
	},
	{
		"storage", func(c *jetstream.StreamConfig) string { return strings.ToLower(c.Storage.String()) },
		"memory is gone when the server stops", "", every,
	},
	{
		"discard", func(c *jetstream.StreamConfig) string { return c.Discard.String() },
		"a full queue must refuse new records, not forget old ones", "--discard=new", isNotKept,
	},
	{
		"discard", func(c *jetstream.StreamConfig) string { return c.Discard.String() },
		"the newest must always find room", "--discard=old", isKept,
	},
	{
		"discard_new_per_subject", func(c *jetstream.StreamConfig) string { return strconv.FormatBool(c.DiscardNewPerSubject) },
		"records are refused that there is room for", "--no-discard-per-subject", every,
	},
	{
		"max_age", func(c *jetstream.StreamConfig) string { return age(c.MaxAge) },
		"what was not read yet, or is still needed, goes by age", "--max-age=%s", isNotKept,
	},
	{
		"max_msgs", func(c *jetstream.StreamConfig) string { return limit(c.MaxMsgs) },
		"only bytes and age are limited", "--max-msgs=-1", every,
	},
	{
		"max_msgs_per_subject", func(c *jetstream.StreamConfig) string { return limit(c.MaxMsgsPerSubject) },
		"subjects hold many records", "--max-msgs-per-subject=-1",
		func(c *jetstream.StreamConfig) bool { return !isBucket(c) },
	},
	{
		"max_msgs_per_subject", func(c *jetstream.StreamConfig) string { return limit(c.MaxMsgsPerSubject) },
		"a history of state takes the room of the state", "--max-msgs-per-subject=1", isBucket,
	},
	{
		"max_msg_size", func(c *jetstream.StreamConfig) string { return messageSize(c.MaxMsgSize) },
		"a large record would be refused for ever", "--max-msg-size=-1", every,
	},
	{
		"max_consumers", func(c *jetstream.StreamConfig) string { return limit(c.MaxConsumers) },
		"a reader may find no place", "", every,
	},
	{
		"no_ack", func(c *jetstream.StreamConfig) string { return strconv.FormatBool(c.NoAck) },
		"nobody would know what is stored", "--ack", every,
	},
	{
		"sealed", func(c *jetstream.StreamConfig) string { return strconv.FormatBool(c.Sealed) },
		"nothing can be stored any more", "", every,
	},
	{
		"deny_purge", func(c *jetstream.StreamConfig) string { return strconv.FormatBool(c.DenyPurge) },
		"readers could not trim it", "", isQueue,
	},
	{
		"mirror", func(c *jetstream.StreamConfig) string { return origins(c.Mirror) },
		"records would be those of another stream", "", every,
	},
	{
		"sources", func(c *jetstream.StreamConfig) string { return origins(c.Sources...) },
		"records of other streams come in, whose numbers are not ours", "--no-source", every,
	},
	{
		"subject_transform", func(c *jetstream.StreamConfig) string { return transform(c.SubjectTransform) },
		"records change their subject", "--no-transform", every,
	},
	{
		"allow_msg_counter", func(c *jetstream.StreamConfig) string { return strconv.FormatBool(c.AllowMsgCounter) },
		"only counters can be stored", "", every,
	},
	{
		"persist_mode", func(c *jetstream.StreamConfig) string { return strings.ToLower(c.PersistMode.String()) },
		"what was acknowledged may be lost, and batches are refused", "", every,
	},
	{
		"allow_direct", func(c *jetstream.StreamConfig) string { return strconv.FormatBool(c.AllowDirect) },
		"a replica that is behind says that an insight is not there", "--no-allow-direct", isInsights,
	},
}

func age(d time.Duration) string {
	if d <= 0 {
		return "none"
	}
	return d.String()
}

// messageSize is what a limit leaves of the largest message that Trailvane stores.
func messageSize(n int32) string {
	if n <= 0 || n >= 1<<20 {
		return "none below 1 MiB"
	}
	return strconv.Itoa(int(n))
}

func origins(of ...*jetstream.StreamSource) string {
	var names []string
	for _, s := range of {
		if s != nil {
			names = append(names, s.Name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ",")
}

func transform(t *jetstream.SubjectTransformConfig) string {
	if t == nil {
		return "none"
	}
	return t.Source + " to " + t.Destination
}

// compare returns what is wrong with a stream, in the order of the rules.
func compare(found *jetstream.StreamInfo, want *jetstream.StreamConfig) []Problem {
	var problems []Problem
	for _, r := range rules {
		if !r.of(want) {
			continue
		}
		is, should := r.value(&found.Config), r.value(want)
		if is == should {
			continue
		}
		do := "save what it holds, delete it and deploy again"
		if r.edit != "" {
			edit := r.edit
			if strings.Contains(edit, "%s") {
				edit = fmt.Sprintf(edit, strings.Replace(should, "none", "0s", 1))
			}
			do = "nats stream edit " + want.Name + " " + edit
		}
		problems = append(problems, Problem{want.Name, r.field, is, should, r.why, do})
	}
	if held := found.State.Bytes; isBucket(want) && want.MaxBytes > 0 && held > uint64(want.MaxBytes) {
		problems = append(problems, Problem{
			want.Name, "max_bytes", fmt.Sprintf("to become %d", want.MaxBytes), fmt.Sprintf("at least %d", 2*held),
			"it holds more, and commits would be refused", "deploy with a higher storage limit",
		})
	}
	return problems
}

// adjust returns a stream's configuration with what is ours to change: its limit in bytes, the age of what is kept, at least
// as many replicas as asked, and abilities that cost nothing to have. The client library's CreateOrUpdateKeyValue takes
// AllowAtomicPublish away without a word, for example.
func adjust(c jetstream.StreamConfig, want *jetstream.StreamConfig) jetstream.StreamConfig {
	if want.MaxBytes > 0 {
		c.MaxBytes = want.MaxBytes
	}
	if isKept(want) {
		c.MaxAge = want.MaxAge
	}
	c.Replicas = max(c.Replicas, want.Replicas)
	c.Duplicates = want.Duplicates // nobody sends message ids, and it must not exceed the age
	c.AllowAtomicPublish = true
	c.AllowBatchPublish = true
	if want.AllowDirect {
		c.AllowDirect = true
	}
	return c
}

// explain says what a refused creation or change means. A nil error stays nil.
func explain(err error, want *jetstream.StreamConfig) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("deploy %s: %w", want.Name, err)
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch {
	case slices.Contains(codesOfRoom, api.ErrorCode):
		return fmt.Errorf("%w: the server cannot reserve %d bytes for it; "+
			"raise the server's max_file_store (or the account's limit), or deploy with a lower storage limit", err, max(0, want.MaxBytes))
	case slices.Contains(codesOfPeers, api.ErrorCode):
		return fmt.Errorf("%w: there are not enough servers for %d replicas; "+
			"start more, or deploy with fewer replicas", err, want.Replicas)
	}
	return err
}

var (
	codesOfRoom = []jetstream.ErrorCode{codeInsufficientResources, codeAccountResources, codeStorageResources, codeMemoryResources}

	// No suitable peers; replicas without a cluster.
	codesOfPeers = []jetstream.ErrorCode{10005, 10074}
)
