package crash

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	"github.com/trailvane/trailvane/schemas"
)

const (
	lanes = 2
	days  = 4
	slot  = 3 * time.Hour // what one chunk holds of a lane
	quiet = 9             // slots before the first incident: a day of learning, and some more

	incidents = (days*24/3 - quiet + 2) / 3 // in each account, one in three slots
)

// begin is a Monday.
var begin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// A cloud is what the logs of an account look like, and what they call things.
type cloud struct {
	format, account, id         string // id: what the record calls its own
	compute, identity, trail    string // services
	toRole, toUser              string // attach a policy
	denied, throttled, notFound string // error codes
	regions                     [2]string
	key                         string // how key ids begin
	record                      func(c *cloud, e *call) string
}

// clouds are those of the lanes: each has one account.
var clouds = [lanes]cloud{
	{
		format: "cloudtrail", account: "123456789012", id: "eventID",
		compute: "ec2.amazonaws.com", identity: "iam.amazonaws.com", trail: "cloudtrail.amazonaws.com",
		toRole: "AttachRolePolicy", toUser: "AttachUserPolicy",
		denied: "Client.UnauthorizedOperation", throttled: "Client.RequestLimitExceeded",
		notFound: "Client.InvalidInstanceID.NotFound",
		regions:  [2]string{"eu-west-1", "us-east-1"}, key: "AKIA", record: cloudTrail,
	},
	{
		format: "actiontrail", account: "1234567890123456", id: "eventId",
		compute: "Ecs", identity: "Ram", trail: "Actiontrail",
		toRole: "AttachPolicyToRole", toUser: "AttachPolicyToUser",
		denied: "NoPermission", throttled: "Throttling.User", notFound: "InvalidInstanceId.NotFound",
		regions: [2]string{"eu-central-1", "cn-hangzhou"}, key: "LTAI", record: actionTrail,
	},
}

// often is what is called all day.
var often = []string{"RunInstances", "TerminateInstances", "DeleteVolume", "StopInstances"}

// A call is what becomes a record.
type call struct {
	at            time.Time
	by            person
	region        int
	service, name string
	code          string // of an error
	read          bool
}

// A person, or a program.
type person struct{ name, key, address, agent string }

// user is one of the eight who work in the office with the console's and the command line's help.
func user(k int) person {
	return person{
		fmt.Sprint("user", k), fmt.Sprintf("USER%dEXAMPLE", k), fmt.Sprint("192.0.2.", 10+k),
		[]string{"aws-cli/2.1", "console"}[k%2],
	}
}

var (
	program = person{"program", "PROGRAMEXAMPLE", "192.0.2.1", "aws-sdk-go/1"}
	admin   = person{"admin", "ADMINEXAMPLE", "192.0.2.2", "aws-cli/2.1"}
	desk    = person{"desk", "DESKEXAMPLE", "192.0.2.3", "console"}
)

func cloudTrail(c *cloud, e *call) string {
	code := ""
	if e.code != "" {
		code = fmt.Sprintf(`"errorCode":%q,`, e.code)
	}
	return fmt.Sprintf(`"eventVersion":"1.09","eventTime":%q,"eventSource":%q,"eventName":%q,"awsRegion":%q,"readOnly":%t,%s`+
		`"recipientAccountId":%q,"sourceIPAddress":%q,"userAgent":%q,"eventType":"AwsApiCall","eventCategory":"Management",`+
		`"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::%s:user/%s","userName":%q,"accessKeyId":%q}`,
		e.at.Format(time.RFC3339), e.service, e.name, c.regions[e.region], e.read, code,
		c.account, e.by.address, e.by.agent, c.account, e.by.name, e.by.name, c.key+e.by.key)
}

func actionTrail(c *cloud, e *call) string {
	code := ""
	if e.code != "" {
		code = fmt.Sprintf(`"errorCode":%q,`, e.code)
	}
	rw := "Write"
	if e.read {
		rw = "Read"
	}
	return fmt.Sprintf(`"eventVersion":1,"eventTime":%q,"serviceName":%q,"eventName":%q,"acsRegion":%q,"eventRW":%q,%s`+
		`"recipientAccountId":%q,"sourceIpAddress":%q,"userAgent":%q,"eventType":"ApiCall","eventCategory":"Management",`+
		`"userIdentity":{"type":"ram-user","accountId":%q,"principalId":"20%s","userName":%q,"accessKeyId":%q}`,
		e.at.Format(time.RFC3339), e.service, e.name, c.regions[e.region], rw, code,
		c.account, e.by.address, e.by.agent, c.account, e.by.name, e.by.name, c.key+e.by.key)
}

// routine is what happens in every slot: a program that is busy all day, people who work in one region, and once a day the
// administrator and the help desk at what nobody else does.
func (c *cloud) routine(n int, add func(call)) {
	start := begin.Add(time.Duration(n) * slot)
	for i := range 7 {
		at := start.Add(time.Duration(i) * 25 * time.Minute)
		k := 7*n + i
		call := call{at: at, by: program, region: k % 2, service: c.compute, name: "RunInstances"}
		add(call)
		call.name = often[1+k/2%3]
		if k%5 == 0 {
			call.code = c.notFound
		}
		add(call)
		call.by, call.name, call.code, call.read = user(k%8), "DescribeInstances", "", true
		add(call)
	}
	switch start.Hour() {
	case 9:
		add(call{at: start.Add(time.Hour), by: admin, service: c.identity, name: c.toRole})
		add(call{at: start.Add(time.Hour), by: desk, service: c.identity, name: "UpdateLoginProfile"})
	case 12:
		add(call{at: start.Add(time.Hour), by: admin, service: c.trail, name: "StopLogging"})
		add(call{at: start.Add(time.Hour + 5*time.Minute), by: admin, service: c.trail, name: "StartLogging"})
	}
}

// incident is the k-th: the key of a user, at an address where nobody has been before.
func (c *cloud) incident(k int, at time.Time, add func(call)) {
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
		add(call{
			at: at.Add(after), by: thief, region: k % 2, service: service, name: name, code: code,
			read: strings.HasPrefix(name, "List"),
		})
	}
	do(0, c.identity, "ListUsers", "")
	// He tries what he may do: many calls, each of another kind.
	for i := range 48 {
		name, code := fmt.Sprintf("Delete%c%d", 'A'+i%24, i), []string{"", c.denied}[i%2]
		do(time.Minute+time.Duration(i)*5*time.Second, c.compute, name, code)
	}
	do(6*time.Minute, c.identity, c.toUser, "")
	do(7*time.Minute, c.identity, "CreateLoginProfile", "")
	do(8*time.Minute, c.trail, "StopLogging", "")
	// Then the same call again and again, until he is throttled.
	for i := range 100 {
		code := ""
		if i >= 50 {
			code = c.throttled
		}
		do(10*time.Minute+time.Duration(i)*500*time.Millisecond, c.compute, often[k/2%len(often)], code)
	}
	do(15*time.Minute, c.trail, "StartLogging", "")
}

// calls are those of a slot in the order of time, and behind them one that is a slot late now and then.
func (c *cloud) calls(lane, n int) []call {
	at := begin.Add(time.Duration(n) * slot)
	var calls []call
	add := func(e call) { calls = append(calls, e) }
	c.routine(n, add)
	if n >= quiet && (n-quiet)%3 == lane {
		c.incident((n-quiet)/3, at.Add(time.Hour), add)
	}
	slices.SortStableFunc(calls, func(a, b call) int { return a.at.Compare(b.at) })
	if n%5 == 0 {
		add(call{at: at.Add(-slot), by: program, service: c.compute, name: "RunInstances"})
	}
	return calls
}

// raw is the input: four days of two accounts, one in each lane and of each cloud. After a day of learning there is an
// incident every nine hours, in which each detector finds something. The budget is ten times the default, so that it does so
// at once, without hundreds of records. Now and then records come late, or again; one is broken.
func raw() []runnertest.Raw {
	var raw []runnertest.Raw
	add := func(lane int, token string, body []byte, after time.Duration) {
		raw = append(raw, runnertest.Raw{
			Subject: schemas.RawSubject(lane, token), Body: body, Time: begin.Add(after),
			Producer: "ingest." + strconv.Itoa(lane) + ".g0", Number: schemas.Number{Seq: uint64(len(raw) + 1)},
			Trace: "00-" + strings.Repeat("a", 32) + "-" + strings.Repeat("b", 16) + "-01",
		})
	}
	settings := schemas.DefaultSettings()
	settings.Budget = 10
	for lane := range lanes {
		add(lane, string(schemas.SettingsControl), settings.Append(nil), 0)
	}
	id := 0
	var before [lanes][]schemas.RawRecord
	for n := range days * 24 * time.Hour / slot {
		for lane := range lanes {
			c := &clouds[lane]
			chunk := schemas.Chunk{Object: fmt.Sprintf("slot %d of %d", n, lane)}
			for _, e := range c.calls(lane, int(n)) {
				id++
				body := fmt.Appendf(nil, `{%q:"00000000-0000-4000-8000-%012d",%s}`, c.id, id, c.record(c, &e))
				chunk.Records = append(chunk.Records, schemas.RawRecord{Offset: int64(id), Body: body})
			}
			last := chunk.Records
			if n%5 == 0 {
				chunk.Records = append(chunk.Records, before[lane][:min(3, len(before[lane]))]...)
			}
			if n == 0 {
				chunk.Records = append(chunk.Records, schemas.RawRecord{Offset: 9999, Body: []byte("{broken")})
			}
			before[lane] = last
			add(lane, c.format, chunk.Append(nil), (n+1)*slot)
		}
	}
	const end = days * 24 * time.Hour
	for lane := range lanes {
		add(lane, string(schemas.TickControl), (&schemas.Tick{}).Append(nil), end+30*time.Minute)
		add(lane, string(schemas.EndControl), (&schemas.End{Close: true}).Append(nil), end+time.Hour)
	}
	return raw
}
