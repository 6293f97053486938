// Package crash runs the whole pipeline with faults at every step of every stage's loop, in memory and in virtual time,
// and demands the same insights, byte for byte. How the faults are made is told in package runnertest.
package crash

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	"github.com/trailvane/trailvane/schemas"
)

const lanes = 2

// Each is called now and then, and once very often.
var names = []string{"TerminateInstances", "DeleteVolume", "DeleteSnapshot", "DeleteVpc", "StopInstances", "DeregisterImage"}

// Four days of two accounts, one in each lane, in two regions: a day of learning, then habits, and every few hours a mass
// deletion of several kinds at once, so that there are insights enough for faults to hit them.
func raw() []runnertest.Raw {
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	var raw []runnertest.Raw
	settings := schemas.DefaultSettings()
	for lane := range lanes {
		raw = append(raw, runnertest.Raw{
			Subject: schemas.RawSubject(lane, string(schemas.SettingsControl)), Body: settings.Append(nil), Time: start,
		})
	}
	id := 0
	record := func(lane int, at time.Time, name string) string {
		id++
		return fmt.Sprintf(`{"eventVersion":"1.09","eventID":"00000000-0000-4000-8000-%012d","eventTime":%q,`+
			`"eventSource":"ec2.amazonaws.com","eventName":%q,"awsRegion":"eu-west-%d","readOnly":false,`+
			`"recipientAccountId":"11111111111%d","sourceIPAddress":"198.51.100.%d","userAgent":"cli",`+
			`"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111111111111:user/u%d"}}`,
			id, at.Format(time.RFC3339), name, 1+id%2, lane, id%7, id%5)
	}
	const slot = 3 * time.Hour
	for at := start; at.Before(start.Add(4 * 24 * time.Hour)); at = at.Add(slot) {
		for lane := range lanes {
			var records []string
			for m := time.Duration(0); m < slot; m += 25 * time.Minute {
				records = append(records, record(lane, at.Add(m), "RunInstances"))
				records = append(records, record(lane, at.Add(m), names[id/2%len(names)]))
			}
			if n := int(at.Sub(start)/slot) - 16; n >= 0 && n%3 == 0 {
				for i := range 480 {
					name := names[(n/3+i/2%4)%len(names)]
					records = append(records, record(lane, at.Add(slot-20*time.Minute+time.Duration(i)*2*time.Second), name))
				}
			}
			c := schemas.Chunk{Object: "o" + strconv.Itoa(id)}
			for i, r := range records {
				c.Records = append(c.Records, schemas.RawRecord{Offset: int64(i), Body: []byte(r)})
			}
			if at.Equal(start) {
				c.Records = append(c.Records, schemas.RawRecord{Offset: 9999, Body: []byte("{broken")})
			}
			raw = append(raw, runnertest.Raw{
				Subject: schemas.RawSubject(lane, "cloudtrail"), Body: c.Append(nil), Time: at.Add(slot),
				Trace: "00-" + strings.Repeat("a", 32) + "-" + strings.Repeat("b", 16) + "-01",
			})
		}
	}
	for lane := range lanes {
		raw = append(raw,
			runnertest.Raw{
				Subject: schemas.RawSubject(lane, string(schemas.TickControl)), Body: (&schemas.Tick{}).Append(nil),
				Time: start.Add(4*24*time.Hour + 30*time.Minute),
			},
			runnertest.Raw{
				Subject: schemas.RawSubject(lane, string(schemas.EndControl)), Body: (&schemas.End{Close: true}).Append(nil),
				Time: start.Add(4*24*time.Hour + time.Hour),
			})
	}
	for i := range raw {
		lane := int(raw[i].Subject[len("raw.")] - '0')
		raw[i].Producer, raw[i].Number = "ingest."+strconv.Itoa(lane)+".g0", schemas.Number{Seq: uint64(i + 1)}
	}
	return raw
}

func stream(name string) func(int) string {
	return func(partition int) string { return name + "_" + strconv.Itoa(partition) }
}

// stages are those of a deployment, one for each insight type among them.
func stages(partitions int) []runnertest.Stage {
	var decoders []decode.Decoder
	for _, f := range formats.All() {
		decoders = append(decoders, f)
	}
	stages := []runnertest.Stage{
		{
			Name: normalize.Stage, Partitions: lanes, Input: stream("RAW"), Constants: normalize.Constants(catalog.Default()),
			New: func(lane int, _ uint64) runner.Processor {
				return normalize.New(normalize.Config{Lane: lane, Partitions: partitions, Decoders: decoders})
			},
		},
		{
			Name: aggregate.Stage, Partitions: partitions, Input: stream("EVENTS"), Constants: aggregate.Constants,
			New: func(p int, _ uint64) runner.Processor { return aggregate.New(p) },
		},
	}
	for t, create := range all.Detectors() {
		stages = append(stages, runnertest.Stage{
			Name: "detector-" + string(t), Partitions: partitions, Input: stream("WINDOWS"),
			New: func(p int, generation uint64) runner.Processor { return detect.NewProcessor(p, generation, create()) },
		})
	}
	return append(stages, runnertest.Stage{
		Name: pair.Stage, Partitions: partitions, Input: stream("FINDINGS"), Constants: pair.Constants,
		New: func(p int, _ uint64) runner.Processor { return pair.New(p) },
	})
}

func TestCrashAnywhere(t *testing.T) {
	runnertest.Crash(t, runnertest.Pipeline{
		Stages: stages(2), Raw: raw(), Final: []string{"INSIGHTS", "DEAD"}, Runs: 150, Seed: 1,
	})
}
