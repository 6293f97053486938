package status

import (
	"slices"
	"strconv"
	"strings"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/schemas"
)

// A kind is what a stage is made of.
type kind struct {
	name  string
	lanes bool             // its partitions are lanes
	input func(int) string // stream of a partition, nil if it reads from outside
	start string           // the command that runs it
}

// Its service names it; a test holds the names together, because services show what this package finds.
const ingestStage = "ingest"

// kinds are the stages in the order of the flow.
func kinds() []kind {
	all := []kind{
		{ingestStage, true, nil, "trailvane ingest"},
		{normalize.Stage, true, jetstream.RawStream, "trailvane normalizer"},
		{aggregate.Stage, false, jetstream.EventsStream, "trailvane aggregator"},
	}
	for _, t := range schemas.InsightTypes() {
		start := "trailvane detector --type " + strings.ToLower(strings.TrimSuffix(string(t), "Insight"))
		all = append(all, kind{detect.Stage(t), false, jetstream.WindowsStream, start})
	}
	return append(all, kind{pair.Stage, false, jetstream.FindingsStream, "trailvane pairer"})
}

func isDetector(stage string) bool {
	return slices.ContainsFunc(schemas.InsightTypes(), func(t schemas.InsightType) bool { return detect.Stage(t) == stage })
}

func (k kind) partitions(d *Deployment) int {
	if k.lanes {
		return d.Lanes
	}
	return d.Partitions
}

// startOf returns the command that runs a stage.
func startOf(stage string) string {
	all := kinds()
	if i := slices.IndexFunc(all, func(k kind) bool { return k.name == stage }); i >= 0 {
		return all[i].start
	}
	return "the service of " + stage
}

// streams lists the streams and buckets of the deployment by name.
func (l *look) streams() {
	for name, h := range l.contents {
		if ours(name) {
			l.Streams = append(l.Streams, Stream{name, h.Messages, h.Bytes, h.Limit, h.Waits})
		}
	}
	slices.SortFunc(l.Streams, func(a, b Stream) int { return strings.Compare(a.Name, b.Name) })
}

// ours reports whether a stream belongs to a deployment; others may share the account.
func ours(name string) bool {
	if bucket, ok := strings.CutPrefix(name, "KV_"); ok {
		return bucket == jetstream.DeploymentBucket || bucket == jetstream.MembersBucket ||
			bucket == jetstream.PushBucket || strings.HasPrefix(bucket, "STATE_")
	}
	switch name {
	case jetstream.InsightsStream, jetstream.DeadStream, jetstream.MetricsStream:
		return true
	}
	flow, number, _ := strings.Cut(name, "_")
	switch schemas.Flow(strings.ToLower(flow)) {
	case schemas.RawFlow, schemas.EventsFlow, schemas.WindowsFlow, schemas.FindingsFlow:
		_, err := strconv.ParseUint(number, 10, 8)
		return err == nil
	}
	return false
}
