//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

// The company whose logs make every detector find something, often: in each account, after a day of learning, somebody
// steals a key every nine hours.
const (
	slot      = 3 * time.Hour // what one object holds of an account
	slots     = 32            // four days
	firstSlot = 9             // of an incident
	slotNoise = 480           // calls in a slot that are of no interest to anybody
)

var (
	firstDay = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) // a Monday
	often    = []string{"RunInstances", "TerminateInstances", "DeleteVolume", "StopInstances"}
	nowhere  = []string{"DescribeVolumes", "DescribeSnapshots", "DescribeVpcs", "DescribeSubnets", "DescribeImages"}
	places   = []string{"eu-west-1", "us-east-1"}
)

const (
	compute  = "ec2.amazonaws.com"
	identity = "iam.amazonaws.com"
	trail    = "cloudtrail.amazonaws.com"
)

// logs is a connector of objects in memory, packed as the vendor delivers them.
type logs struct {
	objects []ingest.Object
	bodies  map[string][]byte
}

// Name names the connector.
func (*logs) Name() string { return "bench" }

// List lists the objects.
func (l *logs) List(context.Context) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		for _, o := range l.objects {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// Open opens one.
func (l *logs) Open(_ context.Context, o ingest.Object) (io.ReadCloser, error) {
	body, ok := l.bodies[o.Name]
	if !ok {
		return nil, fmt.Errorf("there is no object %s", o.Name)
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

// incidents returns the logs of so many accounts.
func incidents(accounts int) (*logs, error) {
	l := &logs{bodies: make(map[string][]byte)}
	var body bytes.Buffer
	z, _ := gzip.NewWriterLevel(&body, gzip.BestSpeed) // fails on an unknown level only
	for n := range slots {
		for i := range accounts {
			a := account{id: fmt.Sprint(310000000000 + i), number: i, slot: n}
			a.live()
			body.Reset()
			z.Reset(&body)
			if err := a.write(z); err != nil {
				return nil, err
			}
			if err := z.Close(); err != nil {
				return nil, err
			}
			at := firstDay.Add(time.Duration(n+1) * slot)
			name := fmt.Sprintf("AWSLogs/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%04d.json.gz",
				a.id, places[0], at.Format("2006/01/02"), a.id, places[0], at.Format("20060102T1504Z"), n)
			l.objects = append(l.objects, ingest.Object{Name: name, Size: int64(body.Len()), Tag: name})
			l.bodies[name] = bytes.Clone(body.Bytes())
		}
	}
	return l, nil
}

// An account is what happens in one account in one slot.
type account struct {
	id     string
	number int
	slot   int
	calls  []deed
}

// A deed becomes a record.
type deed struct {
	at            time.Time
	by            person
	region        int
	service, name string
	code          string // of an error
}

// A person, or a program.
type person struct{ name, key, address, agent string }

// user is one of the eight who work in the office.
func user(k int) person {
	return person{
		fmt.Sprint("user", k), fmt.Sprintf("AKIAUSER%dEXAMPLE", k), fmt.Sprint("192.0.2.", 10+k),
		[]string{"aws-cli/2.1", "console"}[k%2],
	}
}

var (
	program = person{"program", "AKIAPROGRAMEXAMPLE", "192.0.2.1", "aws-sdk-go/1"}
	admin   = person{"admin", "AKIAADMINEXAMPLE", "192.0.2.2", "aws-cli/2.1"}
	desk    = person{"desk", "AKIADESKEXAMPLE", "192.0.2.3", "console"}
)

func (a *account) add(d deed) { a.calls = append(a.calls, d) }

// live makes the calls of the slot, in the order of time.
func (a *account) live() {
	start := firstDay.Add(time.Duration(a.slot) * slot)
	a.routine(start)
	if a.slot >= firstSlot && (a.slot+a.number)%3 == 0 {
		a.incident((a.slot-firstSlot)/3, start.Add(time.Hour))
	}
	for i := range slotNoise {
		a.add(deed{start.Add(time.Duration(i) * slot / slotNoise), program, i % 2, compute, nowhere[i/2%len(nowhere)], ""})
	}
	slices.SortStableFunc(a.calls, func(a, b deed) int { return a.at.Compare(b.at) })
}

// routine is a program that is busy all day, people who work in one region, and once a day the administrator and the help
// desk at what nobody else does.
func (a *account) routine(start time.Time) {
	for i := range 7 {
		at := start.Add(time.Duration(i) * 25 * time.Minute)
		k := 7*a.slot + i
		code := ""
		if k%5 == 0 {
			code = "Client.InvalidInstanceID.NotFound"
		}
		a.add(deed{at, program, k % 2, compute, "RunInstances", ""})
		a.add(deed{at, program, k % 2, compute, often[1+k/2%3], code})
		a.add(deed{at, user(k % 8), k % 2, compute, "DescribeInstances", ""})
	}
	at := start.Add(time.Hour)
	switch start.Hour() {
	case 9:
		a.add(deed{at, admin, 0, identity, "AttachRolePolicy", ""})
		a.add(deed{at, desk, 0, identity, "UpdateLoginProfile", ""})
	case 12:
		a.add(deed{at, admin, 0, trail, "StopLogging", ""})
		a.add(deed{at.Add(5 * time.Minute), admin, 0, trail, "StartLogging", ""})
	}
}

// incident is the k-th: the key of a user, at an address where nobody has been before.
func (a *account) incident(k int, at time.Time) {
	thief := user(k % 8)
	thief.agent = "python-requests/2"
	switch k / 2 % 3 { // each a network of its own
	case 0:
		thief.address = fmt.Sprint("203.0.113.", 20+k)
	case 1:
		thief.address = fmt.Sprint("198.51.100.", 20+k)
	default:
		thief.address = fmt.Sprintf("2001:db8:%x::7", k)
	}
	do := func(after time.Duration, service, name, code string) {
		a.add(deed{at.Add(after), thief, k % 2, service, name, code})
	}
	do(0, identity, "ListUsers", "")
	// He tries what he may do: many calls, each of another kind.
	for i := range 48 {
		do(time.Minute+time.Duration(i)*5*time.Second, compute, fmt.Sprintf("Delete%c%d", 'A'+i%24, i),
			[]string{"", "Client.UnauthorizedOperation"}[i%2])
	}
	do(6*time.Minute, identity, "AttachUserPolicy", "")
	do(7*time.Minute, identity, "CreateLoginProfile", "")
	do(8*time.Minute, trail, "StopLogging", "")
	// Then the same call again and again, until he is throttled.
	for i := range 100 {
		do(10*time.Minute+time.Duration(i)*500*time.Millisecond, compute, often[k/2%len(often)],
			[]string{"", "Client.RequestLimitExceeded"}[i/50])
	}
	do(15*time.Minute, trail, "StartLogging", "")
}

// write writes the object.
func (a *account) write(w io.Writer) error {
	body := []byte(`{"Records":[`)
	for i, d := range a.calls {
		if i > 0 {
			body = append(body, ',')
		}
		code := ""
		if d.code != "" {
			code = fmt.Sprintf(`"errorCode":%q,`, d.code)
		}
		body = fmt.Appendf(body, `{"eventVersion":"1.09","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::%s:user/%s","userName":%q,`+
			`"accessKeyId":%q,"accountId":%q},"eventTime":%q,"eventSource":%q,"eventName":%q,"awsRegion":%q,"sourceIPAddress":%q,`+
			`"userAgent":%q,%s"requestParameters":{"note":%q},"eventID":"%08d-%04d-4000-8000-%012d","readOnly":%t,`+
			`"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":%q,"eventCategory":"Management"}`,
			a.id, d.by.name, d.by.name, d.by.key, a.id, d.at.Format(time.RFC3339), d.service, d.name, places[d.region],
			d.by.address, d.by.agent, code, padding, a.number, a.slot, i,
			strings.HasPrefix(d.name, "Describe") || strings.HasPrefix(d.name, "List"), a.id)
	}
	_, err := w.Write(append(body, "]}"...))
	return err
}

// padding makes records as long as those of real trails.
var padding = strings.Repeat("padding ", 60)
