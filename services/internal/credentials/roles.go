package credentials

import (
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/aggregator"
	"github.com/trailvane/trailvane/services/detector"
	"github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/stages"
	"github.com/trailvane/trailvane/services/normalizer"
	"github.com/trailvane/trailvane/services/pairer"
)

// Roles that are no stage.
const (
	Admin  = "admin"  // deploys, and whatever a person has to do
	Viewer = "viewer" // looks: tail, status, dead list and show
)

// A Role is what somebody may do on the bus.
type Role struct {
	Name    string
	Publish []string // subjects, in order
	Listen  []string
}

// Roles returns all roles: one for each service, named as its command, detectors detector-<type>; those of people; and, for each
// region, one that reads the insights of that region and nothing else.
func Roles(regions ...string) []Role {
	roles := []Role{ingestRole(), normalizerRole(), aggregatorRole()}
	for _, t := range stages.Types() {
		roles = append(roles, detectorRole(t))
	}
	roles = append(roles, pairerRole(), viewerRole(), Role{Name: Admin, Publish: []string{">"}, Listen: []string{">"}})
	for _, region := range regions {
		roles = append(roles, regionRole(region))
	}
	for i := range roles {
		slices.Sort(roles[i].Publish)
		roles[i].Publish = slices.Compact(roles[i].Publish)
	}
	return roles
}

// DetectorName is the role, and the container, of a type's detector.
func DetectorName(t schemas.InsightType) string {
	return "detector-" + strings.ToLower(strings.TrimSuffix(string(t), "Insight"))
}

// newRole returns a role that can connect, ask what there is, and hear its own answers only.
func newRole(name string) Role {
	r := Role{Name: name, Listen: []string{Inbox(name) + ".>"}}
	r.write("$JS.API.INFO", "$JS.API.STREAM.LIST") // names and sizes of streams, which metrics tell
	r.read("KV_" + jetstream.DeploymentBucket)
	return r
}

// Inbox is the subject below which a role gets its answers.
func Inbox(name string) string { return service.Inbox(name) }

// write lets a role publish.
func (r *Role) write(subjects ...string) { r.Publish = append(r.Publish, subjects...) }

// look lets a role see a stream's state and single messages. Only buckets are also read from any replica, and many keys at once.
func (r *Role) look(streams ...string) {
	for _, s := range streams {
		r.write("$JS.API.STREAM.INFO."+s, "$JS.API.STREAM.MSG.GET."+s)
		if strings.HasPrefix(s, "KV_") {
			r.write("$JS.API.DIRECT.GET."+s, "$JS.API.DIRECT.GET."+s+".>")
		}
	}
}

// read lets a role read streams.
func (r *Role) read(streams ...string) {
	r.look(streams...)
	for _, s := range streams {
		r.write("$JS.API.CONSUMER.CREATE."+s, "$JS.API.CONSUMER.CREATE."+s+".>")
		r.consume(s)
	}
}

// consume lets a role use consumers of a stream.
func (r *Role) consume(stream string) {
	r.write("$JS.API.CONSUMER.INFO."+stream+".*", "$JS.API.CONSUMER.MSG.NEXT."+stream+".*", "$JS.API.CONSUMER.DELETE."+stream+".*")
}

// trim lets a role remove what all readers have had.
func (r *Role) trim(streams ...string) {
	for _, s := range streams {
		r.write("$JS.API.STREAM.PURGE." + s)
	}
}

// keep lets a role have the state of a stage, and be one of its instances.
func (r *Role) keep(stage string) {
	r.write("$KV."+jetstream.StateBucket(stage)+".>", "$KV."+jetstream.MembersBucket+".>")
	r.read("KV_"+jetstream.StateBucket(stage), "KV_"+jetstream.MembersBucket)
}

// input lets a role read a flow, and trim it behind all that read it, whose positions it has to know.
func (r *Role) input(flow schemas.Flow) {
	r.read(streamsOf(flow)...)
	r.trim(streamsOf(flow)...)
	for stage, reads := range stages.Reads() {
		if reads == flow {
			r.look("KV_" + jetstream.StateBucket(stage))
		}
	}
}

// output lets a role put into a flow.
func (r *Role) output(flow schemas.Flow, subjects ...string) {
	r.write(subjects...)
	r.look(streamsOf(flow)...)
}

// streamsOf returns all streams of a flow that a deployment can have.
func streamsOf(flow schemas.Flow) (all []string) {
	name := map[schemas.Flow]func(int) string{
		schemas.RawFlow: jetstream.RawStream, schemas.EventsFlow: jetstream.EventsStream, schemas.WindowsFlow: jetstream.WindowsStream,
		schemas.FindingsFlow: jetstream.FindingsStream,
	}[flow]
	for n := range service.MaxPartitions {
		all = append(all, name(n))
	}
	return all
}

func ingestRole() Role {
	r := newRole("ingest")
	r.keep(ingest.Bucket)
	r.output(schemas.RawFlow, "raw.>")
	r.write("dead."+ingest.Bucket, "$KV."+jetstream.PushBucket+".>")
	r.look(jetstream.DeadStream, "KV_"+jetstream.StateBucket(normalizer.Bucket))
	r.read("KV_" + jetstream.PushBucket)
	r.read(streamsOf(schemas.RawFlow)...) // to find what it had put before it was killed
	return r
}

func normalizerRole() Role {
	r := newRole("normalizer")
	r.keep(normalizer.Bucket)
	r.input(schemas.RawFlow)
	r.output(schemas.EventsFlow, "events.>")
	r.write("dead." + normalizer.Bucket)
	r.look(jetstream.DeadStream)
	return r
}

func aggregatorRole() Role {
	r := newRole("aggregator")
	r.keep(aggregator.Bucket)
	r.input(schemas.EventsFlow)
	r.output(schemas.WindowsFlow, "windows.>")
	r.write("metrics.>")
	r.look(jetstream.MetricsStream)
	return r
}

func detectorRole(t schemas.InsightType) Role {
	r := newRole(DetectorName(t))
	r.keep(detector.Bucket(t))
	r.input(schemas.WindowsFlow)
	r.output(schemas.FindingsFlow, "findings.*.*."+string(t))
	return r
}

func pairerRole() Role {
	r := newRole("pairer")
	r.keep(pairer.Bucket)
	r.input(schemas.FindingsFlow)
	r.write("insights.>")
	r.look(jetstream.InsightsStream)
	return r
}

func viewerRole() Role {
	r := newRole(Viewer)
	r.read(jetstream.InsightsStream, jetstream.MetricsStream, jetstream.DeadStream, "KV_"+jetstream.MembersBucket)
	r.write("$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST")
	r.look(streamsOf(schemas.RawFlow)...) // status tells when a lane was fed last, by its last message
	for _, stage := range stages.Names() {
		r.read("KV_" + jetstream.StateBucket(stage))
	}
	return r
}

// regionRole reads the insights of one region. That its consumer has no other filter, the server knows from the request's subject.
func regionRole(region string) Role {
	r := newRole(Viewer + "-" + region)
	r.write("$JS.API.STREAM.INFO."+jetstream.InsightsStream,
		"$JS.API.CONSUMER.CREATE."+jetstream.InsightsStream+".*.insights."+schemas.Token(region)+".>")
	r.consume(jetstream.InsightsStream)
	return r
}
