package telemetry

import (
	"slices"
	"strings"
)

// A Kind is how a metric moves.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// A Metric is one that processes tell about themselves.
type Metric struct {
	Name   string // by OpenTelemetry's conventions
	Kind   Kind
	Unit   string   // by UCUM
	Labels []string // in the order in which their values are given
	Help   string
}

// The metrics. Those of one partition have its stage and number; what processors count is told by process, so that the number of
// series does not grow with the number of accounts. docs/metrics.md is made of this list.
const (
	Records    = "trailvane.records"
	Repeats    = "trailvane.repeats"
	Refused    = "trailvane.refused"
	InputBytes = "trailvane.input"
	Outputs    = "trailvane.outputs"
	Retries    = "trailvane.retries"
	Loads      = "trailvane.loads"
	Commits    = "trailvane.commits"
	Conflicts  = "trailvane.insight.conflicts"
	CommitTime = "trailvane.commit.duration"
	Lag        = "trailvane.lag.records"
	StateKeys  = "trailvane.state.keys"
	StateBytes = "trailvane.state.size"
	Partitions = "trailvane.partitions"

	StreamBytes = "trailvane.stream.size"
	StreamLimit = "trailvane.stream.limit"

	Objects        = "trailvane.objects"
	SkippedObjects = "trailvane.objects.skipped"
	RawRecords     = "trailvane.raw.records"
	DeadLetters    = "trailvane.dead.letters"
	Events         = "trailvane.events"
	Dropped        = "trailvane.events.dropped"
	Counted        = "trailvane.events.counted"
	Late           = "trailvane.events.late"
	Stale          = "trailvane.events.stale"

	WatermarkDelay = "trailvane.watermark.delay"
	Silence        = "trailvane.silence"
	OpenWindows    = "trailvane.windows.open"
	Groups         = "trailvane.account.regions"
	Findings       = "trailvane.findings"
	Insights       = "trailvane.insights"
	OpenInsights   = "trailvane.insights.open"
)

var (
	byPartition = []string{"stage", "partition"}
	byType      = []string{"type", "region"}
)

// Metrics returns all metrics, in the order in which they are explained.
func Metrics() []Metric {
	return []Metric{
		{Records, Counter, "{record}", byPartition, "Records that were applied, including those that were applied again after a load."},
		{Repeats, Counter, "{record}", byPartition, "Records that were dropped because their producer had sent them before: what a crash or a lost connection leaves. Harmless."},
		{Refused, Counter, "{record}", byPartition, "Records that were passed over because they do not name the stage before as their sender, of findings the detector of their type. Always 0; anything else was put by hand or by mistake, by a service that was taken over, or is a bug of ours."},
		{InputBytes, Counter, "By", byPartition, "Bytes of the records that were read, unpacked."},
		{Outputs, Counter, "{record}", byPartition, "Records that were stored, including those that were stored again after a load."},
		{Retries, Counter, "{try}", byPartition, "Reads and puts that had to be tried again: the server was away, or a stream was full."},
		{Loads, Counter, "{load}", byPartition, "Loads of the state: one each time that the partition is taken over, one more after each commit that failed."},
		{Commits, Counter, "{commit}", byPartition, "Commits that succeeded, claims included."},
		{Conflicts, Counter, "{insight}", byPartition, "Insight events that were found stored with other bytes. Always 0; anything else is a bug of ours."},
		{CommitTime, Histogram, "s", []string{"stage"}, "How long commits take, those that succeeded."},
		{Lag, Gauge, "{record}", byPartition, "Records of the input that no commit covers yet: last sequence of the stream less the checkpoint's. Of owned partitions; a commit comes every 5 s, so a little is no backlog. Ingest has none."},
		{StateKeys, Gauge, "{key}", byPartition, "Keys of the state as of the last commit, of owned partitions."},
		{StateBytes, Gauge, "By", byPartition, "Bytes of the values of these keys."},
		{Partitions, Gauge, "{partition}", []string{"stage", "state"}, "Partitions that this process has: owned, or halted, which is for a person."},
		{StreamBytes, Gauge, "By", []string{"stream"}, "Bytes in the streams that this process reads, and in the buckets of its stages' state. Several processes tell the same stream: use max."},
		{StreamLimit, Gauge, "By", []string{"stream"}, "Limit of these streams. A full queue makes writers wait; a full bucket refuses commits."},
		{Objects, Counter, "{object}", nil, "Objects (files) that ingest has read."},
		{SkippedObjects, Counter, "{object}", []string{"reason"}, "Objects that ingest has not read."},
		{RawRecords, Counter, "{record}", nil, "Raw records in the objects that ingest has read."},
		{DeadLetters, Counter, "{record}", []string{"stage", "reason"}, "Records that were refused, see docs/operations.md, Dead letters."},
		{Events, Counter, "{event}", nil, "Management events that normalizers have sent on."},
		{Dropped, Counter, "{event}", []string{"stage", "reason"}, "Events that are not looked at: other categories (data, network, insight), and duplicates in the aggregator."},
		{Counted, Counter, "{event}", nil, "Events that aggregators have counted in a minute."},
		{Late, Counter, "{event}", nil, "Counted events whose minute was closed."},
		{Stale, Counter, "{event}", nil, "Events more than 24 h behind the watermark, which are in METRICS only."},
		{WatermarkDelay, Gauge, "s", []string{"region"}, "How far the watermark is behind the clock of this process: of the worst account of the region, those left out that are silent for a day of their partition's event time. A lane that reads history is as far behind as the history."},
		{Silence, Gauge, "s", nil, "How long ago, by the clock of this process, the newest event of an account happened, in whatever region: of the account that is silent for longest, those left out that are silent for a day of their lane's event time."},
		{OpenWindows, Gauge, "{window}", nil, "Open minutes in aggregators, over all accounts and regions."},
		{Groups, Gauge, "{group}", nil, "Pairs of account and region that aggregators know."},
		{Findings, Counter, "{finding}", byType, "Findings of detectors: open, update, close and reset. A reset concerns all regions and has an empty one."},
		{Insights, Counter, "{event}", byType, "Insight events, Start and End, as pairers have published them."},
		{OpenInsights, Gauge, "{insight}", []string{"type"}, "Insights that have a Start and no End yet."},
	}
}

// Exposed returns the name under which /metrics shows a metric.
func (m Metric) Exposed() string {
	name := strings.ReplaceAll(m.Name, ".", "_")
	switch m.Unit {
	case "By":
		name += "_bytes"
	case "s":
		name += "_seconds"
	}
	if m.Kind == Counter {
		name += "_total"
	}
	return name
}

// commitBuckets are bounds of [CommitTime], seconds: a commit on one host takes a millisecond, a bad day on three some seconds.
var commitBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// MaxRegions bounds the values of the label region: as many as an account may have. What comes later is Other.
const MaxRegions = 64

// Other stands for all regions beyond MaxRegions.
const Other = "other"

// Regions are the values of the label region that a process has used. The zero one is empty. It is not safe for concurrent use.
type Regions struct{ known []string }

// Label returns a region as a label.
func (r *Regions) Label(region string) string {
	if i, ok := slices.BinarySearch(r.known, region); !ok {
		if len(r.known) >= MaxRegions {
			return Other
		}
		r.known = slices.Insert(r.known, i, region)
	}
	return region
}
