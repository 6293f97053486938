//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// A population is an account that is as large as a promise speaks of: what a detector keeps of it is divided by units.
type population struct {
	unit  string // what the bytes are per
	units int
	bytes float64 // promised per unit, at most

	// The messages that the detector reads, as they travel: what they hold must not be the collector's burden while it works.
	messages [][]byte
}

func (p *population) add(panes ...schemas.Pane) {
	for _, pane := range panes {
		p.messages = append(p.messages, (&schemas.PaneBatch{Panes: []schemas.Pane{pane}}).Append(nil))
	}
}

// goalRow is the promised cost of an active minute of a series.
const goalRow = 2 * time.Microsecond

// kept is what one detector keeps of its population, and what it costs to watch it.
type kept struct {
	detector schemas.InsightType
	of       population
	bytes    float64       // of state per unit
	row      time.Duration // of processor time, per row of a pane
	rows     int
}

// states lets every detector watch the account that its promise speaks of, or a part of it.
func states(part int) ([]kept, error) {
	series, addresses, operators := manySeries(10_000/part), manyAddresses(20_000/part), manyOperators(200/part)
	var list []kept
	detectors := all.Detectors()
	for _, t := range slices.Sorted(maps.Keys(detectors)) {
		of := series
		switch t {
		case schemas.IP:
			of = addresses
		case schemas.PolicyChange, schemas.PasswordChange, schemas.TrailConcealment:
			of = operators
		}
		k, err := keep(t, detectors[t](), of)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}

func keep(t schemas.InsightType, d detect.Detector, of population) (kept, error) {
	k := kept{detector: t, of: of}
	var batch schemas.PaneBatch
	var spent time.Duration
	for _, m := range of.messages {
		if err := batch.Decode(m); err != nil {
			return k, err
		}
		begun := processorTime()
		for i := range batch.Panes {
			d.Observe(&batch.Panes[i], schemas.DefaultSettings(), func(*schemas.Finding) {})
			k.rows += len(batch.Panes[i].Rows)
		}
		spent += processorTime() - begun
	}
	k.row = spent / time.Duration(k.rows)
	bytes := 0
	err := d.Snapshot(func(key string, state []byte) { bytes += len(key) + len(state) })
	k.bytes = float64(bytes) / float64(of.units)
	return k, err
}

// processorTime is what this process has used so far: the detectors are watched one after the other, so a difference is theirs,
// garbage collection included, whatever else the machine does.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // the process asks about itself
	}
	return usageOf(&r).cpu()
}

func feed() detecttest.Feed {
	return detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "123456789012"}, Region: "eu-central-1", Lateness: 15}
}

// manySeries is an account in which so many keys each make a failing call every hour for two days: enough for every part of
// the rate model, from the tails to the season.
func manySeries(n int) population {
	p := population{unit: "series", units: n, bytes: 1 << 10}
	f := feed()
	const perPane = 500
	for hour := range schemas.Minute(48) {
		for from := 0; from < n; from += perPane {
			calls := make([]detecttest.Call, 0, perPane)
			for i := from; i < min(n, from+perPane); i++ {
				calls = append(calls, detecttest.Call{
					Minute: detecttest.Epoch + hour*schemas.Hour + schemas.Minute(from/perPane%40), Service: fmt.Sprintf("service%d.amazonaws.com", i%90),
					Event: fmt.Sprintf("DeleteThing%d", i), Error: "AccessDenied", Principal: fmt.Sprintf("arn:aws:iam::123456789012:user/user%d", i%97),
					AccessKey: fmt.Sprintf("AKIA%012dEXAMPLE", i), SourceIP: "198.51.100.7", UserAgent: "aws-cli/2.15", Type: schemas.UserPrincipal, Count: 10,
				})
			}
			p.add(f.Pane(calls))
		}
	}
	p.add(f.Tick(detecttest.Epoch + 3*schemas.Day))
	return p
}

// manyAddresses is an account that has seen so many addresses over forty days, each in ten minutes of its day. There are five
// principals, because what is kept of a principal (at most 380 bytes) is promised apart.
func manyAddresses(n int) population {
	p := population{unit: "account", units: 1, bytes: 120 << 10}
	f := feed()
	const days = 40
	for day := range days {
		var calls []detecttest.Call
		for i := range n / days {
			k := day*n/days + i
			who := k % 5
			c := detecttest.Call{
				Service: "ec2.amazonaws.com", Event: "DescribeInstances", Type: schemas.UserPrincipal, UserAgent: "aws-cli/2.15",
				Principal: fmt.Sprintf("arn:aws:iam::123456789012:user/user%d", who), AccessKey: fmt.Sprintf("AKIA%012dEXAMPLE", who),
				SourceIP: fmt.Sprintf("%d.%d.%d.%d", 11+who%50, k/250%250, k%250, 1+who), Read: true, Count: 3,
			}
			for again := range schemas.Minute(10) {
				c.Minute = detecttest.Epoch + schemas.Minute(day)*schemas.Day + schemas.Minute(i*2) + 30*again
				calls = append(calls, c)
			}
		}
		p.add(f.Panes(calls, 10)...)
	}
	return p
}

// manyOperators is an account of so many people, a quarter of whom do sensitive things of every class, over ninety days.
func manyOperators(n int) population {
	p := population{unit: "account", units: 1, bytes: 16 << 10}
	f := feed()
	var traits schemas.Traits
	for c := schemas.PolicyClass; c <= schemas.TrailClass; c++ {
		traits.Sensitive = traits.Sensitive.With(c, schemas.CoreTier)
	}
	traits.Target, traits.Auth = schemas.OtherTarget, schemas.KeyAuth
	for day := range 90 {
		var calls []detecttest.Call
		for who := range n {
			c := detecttest.Call{
				Minute: detecttest.Epoch + schemas.Minute(day)*schemas.Day + schemas.Minute(8*60+who*7%600), Service: "ec2.amazonaws.com", Event: "RunInstances",
				Principal: fmt.Sprintf("arn:aws:iam::123456789012:user/team%d/user%d", who%10, who), Type: schemas.UserPrincipal,
				AccessKey: fmt.Sprintf("AKIA%012dEXAMPLE", who), SourceIP: fmt.Sprintf("198.51.%d.%d", who%20, 1+who%250),
				UserAgent: []string{"aws-cli/2.15", "Boto3/1.34", "console.amazonaws.com"}[who%3], Traits: schemas.Traits{Auth: schemas.KeyAuth}, Count: 2,
			}
			calls = append(calls, c)
			if (who+day)%8 == 0 && who%4 == 0 {
				c.Minute, c.Service, c.Event, c.Traits = c.Minute+1, "iam.amazonaws.com", fmt.Sprintf("PutThing%d", (who+day)%23), traits
				calls = append(calls, c)
			}
		}
		p.add(f.Panes(calls, 10)...)
	}
	return p
}

// printStates writes what the detectors keep.
func printStates(w *tabwriter.Writer, list []kept) {
	fmt.Fprintf(w, "\nwhat detectors keep\tstate, bytes\tper\tgoal\t\tns per row\tgoal\t\n")
	for _, k := range list {
		fmt.Fprintf(w, "%s\t%.0f\t%s\t≤ %.0f\t%s\t%d\t≤ %d\t%s\n", k.detector, k.bytes, k.of.unit, k.of.bytes, verdict(k.bytes <= k.of.bytes),
			k.row.Nanoseconds(), goalRow.Nanoseconds(), verdict(k.row <= goalRow))
	}
}

// benchStates is the part of the report that needs no logs and no server.
func benchStates(out io.Writer, part int) error {
	list, err := states(part)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	printStates(w, list)
	return w.Flush()
}
