package cloudtrail

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/decode/decodetest"
	"github.com/trailvane/trailvane/schemas"
)

// The traps of real CloudTrail archives: what was counted in them, and what has to come of it.

const account = "210987654321"

// fields are the keys of a record, or of a part of one. A nil value is null; drop takes a key away.
type fields map[string]any

type dropped struct{}

var drop dropped

// sample returns a good record with some keys changed.
func sample(change fields) string {
	r := fields{
		"eventVersion": "1.09", "eventID": "7d9a3c10-3f54-4e0b-9c55-2a8e1b7c6d01", "eventTime": "2026-03-02T09:14:27Z",
		"eventSource": "iam.amazonaws.com", "eventName": "CreateUser", "awsRegion": "us-east-1",
		"sourceIPAddress": "203.0.113.7", "userAgent": "aws-cli/2.15.30", "readOnly": false, "eventType": "AwsApiCall",
		"managementEvent": true, "eventCategory": "Management", "recipientAccountId": account,
		"userIdentity": fields{"type": "IAMUser", "principalId": "AIDA1", "arn": "arn:aws:iam::210987654321:user/mara",
			"accountId": account, "accessKeyId": "AKIA1", "userName": "mara"},
	}
	for key, v := range change {
		r[key] = v
		if v == drop {
			delete(r, key)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func roleSession(arn, principalID string, session fields) fields {
	return fields{"type": "AssumedRole", "arn": arn, "principalId": principalID, "accountId": account,
		"accessKeyId": "ASIA1", "sessionContext": session}
}

func one(t *testing.T, raw string) schemas.Event {
	t.Helper()
	events, err := decodetest.Decode(t, Decoder{}, raw)
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, error %v\nrecord: %.2000s", len(events), err, raw)
	}
	return events[0]
}

func malformed(t *testing.T, raw, want string) {
	t.Helper()
	_, err := decodetest.Decode(t, Decoder{}, raw)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one that says %q\nrecord: %.500s", err, want, raw)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestTraps(t *testing.T) {
	const mara = "arn:aws:iam::210987654321:user/mara"
	user := func(change fields) fields {
		u := fields{"type": "IAMUser", "principalId": "AIDA1", "arn": mara, "accountId": account, "accessKeyId": "AKIA1"}
		for key, v := range change {
			u[key] = v
			if v == drop {
				delete(u, key)
			}
		}
		return fields{"userIdentity": u}
	}
	for _, trap := range []struct {
		name  string // the trap, and how often it was met
		check func(t *testing.T)
	}{
		{"duplicates: 27 % of the ids delivered twice, byte-identical", func(t *testing.T) {
			equal(t, "id", one(t, sample(nil)).ID, "7d9a3c10-3f54-4e0b-9c55-2a8e1b7c6d01")
			// Where there is no id (54 of 464 test records), two deliveries are still one event, and two events are two.
			a, b := sample(fields{"eventID": drop}), sample(fields{"eventID": drop, "awsRegion": "eu-west-1"})
			equal(t, "id of a second delivery", one(t, a).ID, one(t, a).ID)
			equal(t, "two records share an id", one(t, a).ID == one(t, b).ID, false)
			// An id too long to keep is not cut, or all that share its beginning would be one event.
			long := strings.Repeat("7", 500)
			a, b = sample(fields{"eventID": long + "a"}), sample(fields{"eventID": long + "b"})
			equal(t, "two long ids are one", one(t, a).ID == one(t, b).ID, false)
		}},
		{"lateness: the decoder gives event time, whatever the order", func(t *testing.T) {
			equal(t, "time", one(t, sample(nil)).Time, 1772442867)
			equal(t, "time", one(t, sample(fields{"eventTime": "2026-03-02T09:14:27.999Z"})).Time, 1772442867)
			equal(t, "time", one(t, sample(fields{"eventTime": "2026-03-02T17:14:27+08:00"})).Time, 1772442867)
		}},
		{"source address is not an IP: 94 % of an archive", func(t *testing.T) {
			for _, ip := range []string{"cloudtrail.amazonaws.com", "delivery.logs.amazonaws.com", "AWS Internal"} {
				equal(t, "source", one(t, sample(fields{"sourceIPAddress": ip})).SourceIP, ip)
			}
		}},
		{"source address looks like an IP but is invalid: 107 of 310", func(t *testing.T) {
			for _, ip := range []string{"253.252.51.07", "035.249.253.232", "300.1.2.3", "42.120.XX.XX", "", "::g"} {
				equal(t, "source", one(t, sample(fields{"sourceIPAddress": ip})).SourceIP, ip)
			}
		}},
		{"no userIdentity.arn: 90 % of an archive", func(t *testing.T) {
			equal(t, "principal", one(t, sample(user(fields{"arn": drop}))).Principal, "AIDA1")
			none := fields{"arn": drop, "principalId": drop}
			none["invokedBy"] = "ec2.amazonaws.com"
			equal(t, "principal", one(t, sample(user(none))).Principal, "ec2.amazonaws.com")
			none["invokedBy"] = drop
			equal(t, "principal", one(t, sample(user(none))).Principal, "IAMUser")
			none["userName"] = "mara"
			equal(t, "principal", one(t, sample(user(none))).Principal, "mara")
		}},
		{"no userIdentity.type: 42 of 2,900, all AwsServiceEvent", func(t *testing.T) {
			e := one(t, sample(fields{"eventType": "AwsServiceEvent",
				"userIdentity": fields{"accountId": account, "invokedBy": "AWS Internal"}}))
			equal(t, "principal", e.Principal, "AWS Internal")
			equal(t, "principal type", e.PrincipalType, schemas.ServicePrincipal)
		}},
		{"no accessKeyId: 85 of 2,900, console root logins", func(t *testing.T) {
			equal(t, "key", one(t, sample(user(fields{"accessKeyId": drop}))).AccessKey, "")
			equal(t, "key", one(t, sample(user(fields{"accessKeyId": ""}))).AccessKey, "")
			equal(t, "key", one(t, sample(user(fields{"accessKeyId": nil}))).AccessKey, "")
		}},
		{"userIdentity missing altogether: every Insights record", func(t *testing.T) {
			for _, v := range []any{drop, nil} {
				e := one(t, sample(fields{"userIdentity": v}))
				equal(t, "principal", e.Principal, "")
				equal(t, "principal type", e.PrincipalType, schemas.UnknownPrincipal)
				equal(t, "account", e.Account.ID, account)
			}
			e := one(t, `{"eventType":"AwsCloudTrailInsight","eventID":"1","recipientAccountId":"210987654321",
				"insightDetails":{"state":"Start","eventName":"CreateUser"},"eventCategory":"Insight"}`)
			equal(t, "category", e.Category, schemas.InsightCategory)
			// Records of 2019 say so by their type alone.
			e = one(t, `{"eventType":"AwsCloudTrailInsight","eventID":"1"}`)
			equal(t, "category", e.Category, schemas.InsightCategory)
		}},
		{"requestParameters null: 333 of 2,900", func(t *testing.T) {
			one(t, sample(fields{"requestParameters": nil, "responseElements": nil, "additionalEventData": nil, "resources": nil}))
		}},
		{"no eventTime: a Logstash-wrapped set has only @timestamp", func(t *testing.T) {
			e := one(t, sample(fields{"eventTime": drop, "@timestamp": "2026-03-02T09:14:27.000Z", "@version": "1"}))
			equal(t, "time", e.Time, 1772442867)
			e = one(t, sample(fields{"@timestamp": "2026-03-02T10:00:00.000Z"}))
			equal(t, "time beside @timestamp", e.Time, 1772442867)
		}},
		{"placeholder times: reject the record", func(t *testing.T) {
			malformed(t, sample(fields{"eventTime": "EVENT_TIME"}), `eventTime "EVENT_TIME" is not a time`)
			malformed(t, sample(fields{"eventTime": drop}), "eventTime is missing")
			malformed(t, sample(fields{"eventTime": ""}), "eventTime is missing")
			malformed(t, sample(fields{"eventTime": "2026-13-45T99:00:00Z"}), "is not a time")
		}},
		{"key spelling: accesskeyid, accesKeyId", func(t *testing.T) {
			e := one(t, sample(user(fields{"accessKeyId": drop, "accesskeyid": "AKIA1", "accesKeyId": "AKIA2", "x": fields{"y": 1}})))
			equal(t, "key", e.AccessKey, "")
			one(t, sample(fields{"p_log_type": "AWS.CloudTrail", "EventName": 7, "eventname": []int{1}, "": nil}))
		}},
		{"eventVersion: 1.03 to 1.11, text; numbers elsewhere", func(t *testing.T) {
			for _, v := range []any{"1.03", "1.11", 1.08, 1, nil, drop, fields{}} {
				one(t, sample(fields{"eventVersion": v}))
			}
		}},
		{"eventCategory missing: old versions", func(t *testing.T) {
			equal(t, "category", one(t, sample(fields{"eventCategory": drop})).Category, schemas.Management)
			e := one(t, sample(fields{"eventCategory": drop, "managementEvent": drop}))
			equal(t, "category", e.Category, schemas.Management)
		}},
		{"Data and NetworkActivity events: 54 % of an archive", func(t *testing.T) {
			for category, want := range map[string]schemas.Category{
				"Data": schemas.Data, "NetworkActivity": schemas.NetworkActivity, "Insight": schemas.InsightCategory,
				"SomethingNew": schemas.Data,
			} {
				equal(t, category, one(t, sample(fields{"eventCategory": category})).Category, want)
			}
			equal(t, "category", one(t, sample(fields{"eventCategory": drop, "managementEvent": false})).Category, schemas.Data)
			// Nothing is demanded of what is dropped anyway.
			equal(t, "category", one(t, `{"eventCategory":"Data","eventTime":[],"userIdentity":7}`).Category, schemas.Data)
		}},
		{"readOnly missing: versions up to 1.05, 170 of 464", func(t *testing.T) {
			equal(t, "write", one(t, sample(fields{"readOnly": drop})).Write, true)
			equal(t, "write", one(t, sample(fields{"readOnly": drop, "eventName": "ListUsers"})).Write, false)
			equal(t, "write", one(t, sample(fields{"readOnly": "true"})).Write, false)
			equal(t, "write", one(t, sample(fields{"readOnly": "False", "eventName": "ListUsers"})).Write, true)
			// The flag wins over the verb.
			equal(t, "write", one(t, sample(fields{"readOnly": false, "eventName": "GetFederationToken"})).Write, true)
			equal(t, "write", one(t, sample(fields{"readOnly": true, "eventName": "AssumeRole"})).Write, false)
		}},
		{"failure without errorCode: ConsoleLogin", func(t *testing.T) {
			login := fields{"eventName": "ConsoleLogin", "eventType": "AwsConsoleSignIn", "eventSource": "signin.amazonaws.com",
				"errorMessage": "Failed authentication", "responseElements": fields{"ConsoleLogin": "Failure"}}
			equal(t, "error", one(t, sample(login)).ErrorCode, "FailedAuthentication")
			login["errorMessage"] = drop
			equal(t, "error", one(t, sample(login)).ErrorCode, "ConsoleLoginFailure")
			login["errorMessage"] = "é"
			equal(t, "error", one(t, sample(login)).ErrorCode, "ConsoleLoginFailure")
			login["errorMessage"], login["responseElements"] = "No username found in supplied account", nil
			equal(t, "error", one(t, sample(login)).ErrorCode, "NoUsernameFoundInSuppliedAccount")
			login["responseElements"] = fields{"ConsoleLogin": "Success"}
			equal(t, "error", one(t, sample(login)).ErrorCode, "")
			login["responseElements"] = fields{"A": "Failure", "ConsoleLogin": "Success", "Other": "Failure", "Z": fields{}}
			equal(t, "error", one(t, sample(login)).ErrorCode, "")
			login["eventName"], login["responseElements"] = "SwitchRole", fields{"SwitchRole": "Failure"}
			equal(t, "error", one(t, sample(login)).ErrorCode, "NoUsernameFoundInSuppliedAccount")
			// Elsewhere such an answer is somebody's data.
			e := one(t, sample(fields{"responseElements": fields{"CreateUser": "Failure"}, "errorMessage": "text"}))
			equal(t, "error", e.ErrorCode, "")
		}},
		{"success with errorMessage", func(t *testing.T) {
			e := one(t, sample(fields{"eventName": "ConsoleLogin", "errorMessage": "success", "responseElements": nil}))
			equal(t, "error", e.ErrorCode, "")
		}},
		{`errorCode of success is the text "null"`, func(t *testing.T) {
			for _, code := range []any{"null", nil, "", drop} {
				equal(t, "error", one(t, sample(fields{"errorCode": code})).ErrorCode, "")
			}
			equal(t, "error", one(t, sample(fields{"errorCode": "AccessDenied"})).ErrorCode, "AccessDenied")
		}},
		{"many keys per principal: more than ten temporary keys of one user", func(t *testing.T) {
			for _, key := range []string{"ASIA1", "ASIA2"} {
				e := one(t, sample(user(fields{"accessKeyId": key})))
				equal(t, "key", e.AccessKey, key)
				equal(t, "principal", e.Principal, mara)
			}
		}},
		{"sourceIPAddress AWS Internal on user calls: forward access", func(t *testing.T) {
			change := user(fields{"invokedBy": "AWS Internal"})
			change["sourceIPAddress"] = "AWS Internal"
			e := one(t, sample(change))
			equal(t, "source", e.SourceIP, "AWS Internal")
			equal(t, "principal", e.Principal, mara)
			equal(t, "principal type", e.PrincipalType, schemas.UserPrincipal)
		}},
		{"set-up looks like concealment: the decoder tells names and times apart, no more", func(t *testing.T) {
			a := one(t, sample(fields{"eventSource": "cloudtrail.amazonaws.com", "eventName": "CreateTrail"}))
			b := one(t, sample(fields{"eventSource": "cloudtrail.amazonaws.com", "eventName": "PutEventSelectors",
				"eventTime": "2026-03-02T09:14:30Z"}))
			equal(t, "seconds between them", b.Time-a.Time, 3)
		}},
		{"wrapped in event, as object or text", func(t *testing.T) {
			inner := sample(nil)
			text, _ := json.Marshal(inner)
			want := one(t, inner)
			for _, raw := range []string{`{"source":"x","event":` + inner + `}`, `{"event":` + string(text) + `,"__topic__":"t"}`} {
				equal(t, "event", fmt.Sprint(one(t, raw)), fmt.Sprint(want))
			}
			// A record that names a call is itself, whatever it carries.
			equal(t, "name", one(t, sample(fields{"event": fields{"eventName": "Other"}})).Name, "CreateUser")
			// Nothing of the wrapping becomes part of the record.
			e := one(t, `{"awsRegion":"outer","errorCode":"outer","event":`+sample(fields{"awsRegion": drop})+`}`)
			equal(t, "region", e.Region, "")
			equal(t, "error", e.ErrorCode, "")
			malformed(t, `{"event":"{"}`, "cut off")
			malformed(t, `{"event":{"event":{"event":`+inner+`}}}`, "eventName is missing")
		}},
		{"one key twice: the last one counts", func(t *testing.T) {
			raw := strings.TrimSuffix(sample(nil), "}") + `,"eventName":"First","eventName":"Second","userIdentity":{"type":"Root"}}`
			e := one(t, raw)
			equal(t, "name", e.Name, "Second")
			equal(t, "principal", e.Principal, "Root")
			malformed(t, strings.TrimSuffix(sample(nil), "}")+`,"eventName":null}`, "eventName is missing")
		}},
	} {
		t.Run(trap.name, trap.check)
	}
}

func TestPrincipals(t *testing.T) {
	const (
		sso     = "arn:aws:sts::210987654321:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/noor@example.com"
		ssoPath = "arn:aws:iam::210987654321:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef"
		runner  = "arn:aws:sts::210987654321:assumed-role/Runner"
	)
	web := fields{"webIdFederationData": fields{"federatedProvider": "accounts.google.com"}}
	for _, c := range []struct {
		name string
		user fields
		want string
		kind schemas.PrincipalType
	}{
		{"user", fields{"type": "IAMUser", "arn": "arn:aws:iam::210987654321:user/ops/mara", "principalId": "AIDA1"},
			"arn:aws:iam::210987654321:user/ops/mara", schemas.UserPrincipal},
		{"root", fields{"type": "Root", "arn": "arn:aws:iam::210987654321:root", "principalId": account},
			"arn:aws:iam::210987654321:root", schemas.RootPrincipal},
		{"role session", roleSession(runner+"/job-1", "AROA1:job-1", nil), runner, schemas.RolePrincipal},
		{"role session with an empty web identity", roleSession(runner+"/job-1", "AROA1:job-1",
			fields{"webIdFederationData": fields{}}), runner, schemas.RolePrincipal},
		{"role session without arn", roleSession("", "AROA1:job-1", nil), "AROA1", schemas.RolePrincipal},
		{"role without session", roleSession(runner, "AROA1", nil), runner, schemas.RolePrincipal},
		{"role", fields{"type": "Role", "arn": "arn:aws:iam::210987654321:role/Runner"},
			"arn:aws:iam::210987654321:role/Runner", schemas.RolePrincipal},
		{"Identity Center session", roleSession(sso, "AROA1:noor@example.com",
			fields{"sessionIssuer": fields{"arn": ssoPath}}), "noor@example.com", schemas.FederatedPrincipal},
		{"Identity Center session, role path not told", roleSession(sso, "AROA1:noor@example.com", nil),
			"noor@example.com", schemas.FederatedPrincipal},
		{"a role that only has the name of one", roleSession(sso, "AROA1:noor@example.com",
			fields{"sessionIssuer": fields{"arn": "arn:aws:iam::210987654321:role/AWSReservedSSO_Admin_0123456789abcdef"}}),
			"arn:aws:sts::210987654321:assumed-role/AWSReservedSSO_Admin_0123456789abcdef", schemas.RolePrincipal},
		{"source identity", roleSession(runner+"/x", "AROA1:x", fields{"sourceIdentity": "noor"}),
			"noor", schemas.FederatedPrincipal},
		{"web identity session of a person", roleSession(runner+"/noor@example.com", "AROA1:noor@example.com", web),
			"noor@example.com", schemas.FederatedPrincipal},
		{"web identity session of a program", roleSession(runner+"/botocore-session-1772441667", "AROA1:b", web),
			runner, schemas.RolePrincipal},
		{"web identity sign-in", fields{"type": "WebIdentityUser", "userName": "system:serviceaccount:ci:runner",
			"principalId": "provider:audience:system:serviceaccount:ci:runner"},
			"system:serviceaccount:ci:runner", schemas.FederatedPrincipal},
		{"SAML sign-in", fields{"type": "SAMLUser", "userName": "noor@example.com", "principalId": "b64=:noor@example.com"},
			"noor@example.com", schemas.FederatedPrincipal},
		{"Identity Center user", fields{"type": "IdentityCenterUser", "accountId": account,
			"onBehalfOf": fields{"userId": "544894e8-80c1-707f-60e3-3ba6510dfac1"}, "credentialId": "c"},
			"544894e8-80c1-707f-60e3-3ba6510dfac1", schemas.FederatedPrincipal},
		{"federated user", fields{"type": "FederatedUser", "arn": "arn:aws:sts::210987654321:federated-user/noor",
			"principalId": "210987654321:noor"}, "arn:aws:sts::210987654321:federated-user/noor", schemas.FederatedPrincipal},
		{"service", fields{"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com", schemas.ServicePrincipal},
		{"role of another account", fields{"type": "AWSAccount", "principalId": "AROA9:job-1", "accountId": "999999999999"},
			"AROA9", schemas.UnknownPrincipal},
		{"user of another account", fields{"type": "AWSAccount", "principalId": "AIDA9", "accountId": "999999999999"},
			"AIDA9", schemas.UnknownPrincipal},
		{"unknown", fields{"type": "Unknown", "principalId": "x"}, "x", schemas.UnknownPrincipal},
		{"a type that is new", fields{"type": "Robot"}, "Robot", schemas.UnknownPrincipal},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := one(t, sample(fields{"userIdentity": c.user}))
			equal(t, "principal", e.Principal, c.want)
			equal(t, "type", e.PrincipalType, c.kind)
		})
	}
}
