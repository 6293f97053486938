// Package simulate writes the audit logs of an invented company, in the formats and folder layouts of the vendors, so
// that the product can be shown and tested without anybody's real logs.
//
// [Write] makes some days of a small company with one account on each cloud: people in office hours, at home and on journeys,
// deployments, timers, an autoscaler, a nightly backup, somebody who changes permissions and somebody who resets passwords
// because that is their work, a key that is rotated, refused calls, repeats and late deliveries. In each account two things are
// planted, which [Truth] names: a stolen key, with which much is deleted, then rights and a way back in are taken, and the trail is
// switched off, until somebody switches it on again; and on another day a wave of refused calls of a program that lost a
// permission. [WriteBulk] makes many records fast, for benchmarks.
//
// The same options give the same bytes. Every routine draws from a random stream of its own, and so does the delivery of every
// call, so adding one does not move the others. Names and numbers are invented; addresses are those reserved for documentation. Nothing here is shared with
// a detector: the simulator must not know what is looked for.
package simulate

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

// DefaultStart is a Monday, so that the day of learning is a working day.
var DefaultStart = time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC)

// Options say what to write. The zero value is the company of the demo.
type Options struct {
	Seed     uint64
	Start    time.Time // first day, cut to midnight UTC; DefaultStart if zero
	Days     int       // 10 if zero: a day of learning, a week of habits, two days with attacks; at least 3
	Accounts int       // on each cloud, 1 if zero, at most 99

	// Live, if not zero, is how long the company goes on after these days, at least [LeastLive]; the attacks are all in that time.
	// The logs end at End then, not at a midnight, and Start is of no use.
	Live time.Duration
	End  time.Time
}

// LeastLive is the time in which all attacks fit and are over: what follows them moves time far enough for their insights to end.
const LeastLive = 2 * time.Hour

// fill checks the options and puts in what was left out.
func (o *Options) fill() error {
	o.Days = cmp.Or(o.Days, 10)
	o.Accounts = cmp.Or(o.Accounts, 1)
	if o.Days < 3 || o.Accounts < 1 || o.Accounts > 99 {
		return fmt.Errorf("simulate %d days of %d accounts: need at least 3 days and 1 to 99 accounts", o.Days, o.Accounts)
	}
	if o.Live != 0 {
		if o.Live < LeastLive || o.Live > 30*24*time.Hour || o.End.IsZero() {
			return fmt.Errorf("simulate %s live until %s: need %s to 30 days, and an end", o.Live, o.End.Format(time.RFC3339), LeastLive)
		}
		o.Start = o.begin().AddDate(0, 0, -o.Days)
		return nil
	}
	if o.Start.IsZero() {
		o.Start = DefaultStart
	}
	o.Start = o.Start.UTC().Truncate(24 * time.Hour)
	o.End = o.Start.AddDate(0, 0, o.Days)
	return nil
}

// begin returns when the live part begins.
func (o *Options) begin() time.Time { return o.End.UTC().Add(-o.Live).Truncate(time.Minute) }

// days returns how many days, the last of which may end early, are from Start to End.
func (o *Options) days() int { return int((o.End.Sub(o.Start) + 24*time.Hour - 1) / (24 * time.Hour)) }

// attack returns when something planted begins: so many days before the end at a time of that day, or minutes after the live part
// begins; and some time later, of up to half an hour, live of up to three minutes.
func (o *Options) attack(before, at, live int, r *rand.Rand) int64 {
	late := r.IntN(30 * minute)
	if o.Live != 0 {
		return o.begin().Unix() + int64(live*minute+late/10)
	}
	return o.Start.AddDate(0, 0, o.Days-before).Unix() + int64(at+late)
}

// An Object is one object of a bucket, as a vendor delivers it.
type Object struct {
	Account schemas.Account
	Name    string    // path, bucket first
	Time    time.Time // of its slot, by which objects are ordered; nothing in it is later
	Body    []byte    // as it is stored, compressed
	Records int
	Size    int // of the content, uncompressed
}

// Objects returns all objects in the order in which they are delivered, which is that in which they are read: of time, then name.
func Objects(o Options) ([]Object, Truth, error) {
	var all []Object
	truth, err := generate(o, func(object Object) error {
		object.Body = slices.Clone(object.Body)
		all = append(all, object)
		return nil
	})
	slices.SortFunc(all, func(a, b Object) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Name, b.Name)) })
	return all, truth, err
}

// Truth is what was written.
type Truth struct {
	From, To time.Time // first event, last event
	Events   int       // distinct events
	Repeats  int       // events that were delivered twice
	Files    int
	Bytes    int64 // of all records, uncompressed
	Attacks  []Attack
}

// An Attack is something planted that must be found.
type Attack struct {
	Account   schemas.Account
	Name      string // of the story, "stolen key"
	Principal string // in whose name it is done
	AccessKey string // with which, empty for temporary ones
	Address   string // from where
	First     time.Time
	Last      time.Time
	Expect    []Expected // in the order in which it is done
}

// An Expected is an insight that an attack must cause. All of an attack belong to one incident.
type Expected struct {
	Type    schemas.InsightType
	Region  string
	Object  string // of the insight
	Service string
	Event   string // what was called, empty where it is more than one call
	First   time.Time
	Last    time.Time
	Calls   int // of Event, refused ones included
}

// Write writes the company's logs below dir, one folder for each bucket. It makes dir if it is not there, and touches
// nothing that is in it but files of the same names.
func Write(dir string, o Options) (Truth, error) {
	return generate(o, func(object Object) error { return object.Write(dir) })
}

// Write writes the object below dir, and makes the folders that it needs.
func (o *Object) Write(dir string) error {
	return writeFile(filepath.Join(dir, filepath.FromSlash(o.Name)), o.Body)
}

// generate gives out every object. The body is valid until put returns.
func generate(o Options, put func(Object) error) (Truth, error) {
	if err := o.fill(); err != nil {
		return Truth{}, err
	}
	var truth Truth
	for i := range o.Accounts {
		for _, a := range []account{awsAccount(i), alibabaAccount(i)} {
			if err := a.generate(o, &truth, put); err != nil {
				return Truth{}, fmt.Errorf("simulate account %s: %w", a.Account, err)
			}
		}
	}
	slices.SortFunc(truth.Attacks, func(a, b Attack) int { return a.First.Compare(b.First) })
	return truth, nil
}

// An account is one account of the company and everybody who works in it.
type account struct {
	schemas.Account
	bucket   string // folder below the target, named like a bucket
	global   string // region that records the calls of global services
	routines []routine
	theft    theft
	wave     wave
	format   format
}

// A format writes an account's calls as the vendor does.
type format interface {
	// record appends the audit record of a call.
	record(dst []byte, c *call) []byte

	// container returns what stands before, between and behind the records of one object.
	container() (open, between, end string)

	// object returns the path of an object below the bucket. The packed object is there for names that say its size.
	object(region string, slot time.Time, records int, packed []byte, r *rand.Rand) string
}

// generate makes all calls of the account, then delivers them.
func (a *account) generate(o Options, truth *Truth, put func(Object) error) error {
	var calls []call
	for i := range a.routines {
		calls = a.routines[i].run(calls, a, o)
	}
	calls, stolen := a.theft.run(calls, a, o)
	calls, refused := a.wave.run(calls, a, o)
	truth.Attacks = append(truth.Attacks, stolen, refused)

	slices.SortStableFunc(calls, func(x, y call) int { return cmp.Compare(x.at, y.at) })
	first, last := time.Unix(calls[0].at, 0).UTC(), time.Unix(calls[len(calls)-1].at, 0).UTC()
	if truth.From.IsZero() || first.Before(truth.From) {
		truth.From = first
	}
	if last.After(truth.To) {
		truth.To = last
	}
	truth.Events += len(calls)

	d := delivery{format: a.format, seed: o.Seed, account: a.String()}
	err := d.deliver(calls, func(object Object) error {
		truth.Files++
		truth.Bytes += int64(object.Size)
		object.Account, object.Name = a.Account, path.Join(a.bucket, object.Name)
		return put(object)
	})
	truth.Repeats += d.repeats
	return err
}

func writeFile(name string, body []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, body, 0o644)
}

// stream returns the random numbers of one entity: a function of the seed and its names only.
func stream(seed uint64, names ...string) *rand.Rand {
	h := fnv.New64a()
	for _, n := range names {
		h.Write([]byte(n))
		h.Write([]byte{0})
	}
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}
