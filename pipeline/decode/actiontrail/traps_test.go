package actiontrail

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/decode/decodetest"
	"github.com/trailvane/trailvane/schemas"
)

// The traps of ActionTrail's records, as documentation and samples show them, and those of CloudTrail that may meet here.

const account = "1987654321098765"

// fields are the keys of a record, or of a part of one. A nil value is null; drop takes a key away.
type fields map[string]any

type dropped struct{}

var drop dropped

// sample returns a good record with some keys changed.
func sample(change fields) string {
	r := fields{
		"eventVersion": 1, "eventId": "5B7E1C0A-2F3D-5A4B-8C9D-0E1F2A3B4C5D", "eventTime": "2026-03-02T09:14:27Z",
		"serviceName": "Ram", "eventName": "CreateUser", "eventRW": "Write", "acsRegion": "cn-hangzhou",
		"sourceIpAddress": "203.0.113.7", "userAgent": "AliyunConsole", "eventType": "ApiCall",
		"eventCategory": "Management", "recipientAccountId": account,
		"userIdentity": fields{"type": "ram-user", "principalId": "203344556677889900", "accountId": account,
			"accessKeyId": "LTAI1", "userName": "lin"},
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
	for _, trap := range []struct {
		name  string
		check func(t *testing.T)
	}{
		{"duplicates: the id, or the record itself, tells them", func(t *testing.T) {
			equal(t, "id", one(t, sample(nil)).ID, "5B7E1C0A-2F3D-5A4B-8C9D-0E1F2A3B4C5D")
			a, b := sample(fields{"eventId": drop}), sample(fields{"eventId": "", "acsRegion": "cn-beijing"})
			equal(t, "id of a second delivery", one(t, a).ID, one(t, a).ID)
			equal(t, "two records share an id", one(t, a).ID == one(t, b).ID, false)
		}},
		{"lateness: the decoder gives event time", func(t *testing.T) {
			equal(t, "time", one(t, sample(nil)).Time, 1772442867)
		}},
		{"source address is not an IP: Internal, ecs.aliyuncs.com", func(t *testing.T) {
			for _, ip := range []string{"Internal", "ecs.aliyuncs.com"} {
				equal(t, "source", one(t, sample(fields{"sourceIpAddress": ip})).SourceIP, ip)
			}
		}},
		{"source address is masked: 42.120.XX.XX, 10.10.**.**", func(t *testing.T) {
			for _, ip := range []string{"42.120.XX.XX", "10.10.**.**"} {
				equal(t, "source", one(t, sample(fields{"sourceIpAddress": ip})).SourceIP, ip)
			}
		}},
		{"no accessKeyId: console sign-ins", func(t *testing.T) {
			e := one(t, sample(fields{"userIdentity": fields{"type": "root-account", "principalId": account, "accountId": account}}))
			equal(t, "key", e.AccessKey, "")
			equal(t, "principal type", e.PrincipalType, schemas.RootPrincipal)
		}},
		{"a system caller has neither accountId nor principalId", func(t *testing.T) {
			e := one(t, sample(fields{"userIdentity": fields{"type": "system", "userName": "ecs.aliyuncs.com"}}))
			equal(t, "principal", e.Principal, "ecs.aliyuncs.com")
			equal(t, "principal type", e.PrincipalType, schemas.ServicePrincipal)
			equal(t, "account", e.Account.ID, account)
			equal(t, "caller's account", e.CallerAccount, "")
		}},
		{"userIdentity missing altogether: Insights records", func(t *testing.T) {
			equal(t, "principal", one(t, sample(fields{"userIdentity": drop})).Principal, "")
			e := one(t, `{"eventVersion":"1","eventType":"ActionTrailInsight","eventCategory":"Insight","eventId":"1"}`)
			equal(t, "category", e.Category, schemas.InsightCategory)
			e = one(t, `{"eventType":"ActionTrailInsight","eventId":"1","recipient":"1"}`) // of 2021
			equal(t, "category", e.Category, schemas.InsightCategory)
		}},
		{"requestParameters null", func(t *testing.T) {
			one(t, sample(fields{"requestParameters": nil, "responseElements": nil, "additionalEventData": nil}))
		}},
		{"parameters a second time as JSON text", func(t *testing.T) {
			one(t, sample(fields{"requestParameterJson": `{"eventName":"Other","a":"\"}"}`}))
		}},
		{"placeholder times: reject the record", func(t *testing.T) {
			malformed(t, sample(fields{"eventTime": "****"}), `eventTime "****" is not a time`)
			malformed(t, sample(fields{"eventTime": drop}), "eventTime is missing")
		}},
		{"key spelling: eventID is not eventId, sessionAttributes is nobody's", func(t *testing.T) {
			equal(t, "service", one(t, sample(fields{"ServiceName": "Ecs", "eventID": "x"})).Service, "Ram")
			one(t, sample(fields{"userIdentity": fields{"type": "ram-user", "principalId": "1",
				"sessionContext": fields{"sessionAttributes": fields{"mfaAuthenticated": "true"}}}}))
		}},
		{"eventVersion: number or text 1", func(t *testing.T) {
			for _, v := range []any{1, "1", nil, drop} {
				one(t, sample(fields{"eventVersion": v}))
			}
		}},
		{"Data events", func(t *testing.T) {
			equal(t, "category", one(t, sample(fields{"eventCategory": "Data"})).Category, schemas.Data)
			equal(t, "category", one(t, `{"eventCategory":"Data","userIdentity":7}`).Category, schemas.Data)
		}},
		{"eventRW, eventCategory missing: sign-ins and OSS calls of 2021", func(t *testing.T) {
			old := fields{"eventRW": drop, "eventCategory": drop}
			for name, write := range map[string]bool{"ConsoleSignin": true, "PutBucket": true, "DescribeInstances": false,
				"GetBucketAcl": false, "LookupEvents": false, "listBuckets": false} {
				old["eventName"] = name
				e := one(t, sample(old))
				equal(t, name+" category", e.Category, schemas.Management)
				equal(t, name+" write", e.Write, write)
			}
			equal(t, "write", one(t, sample(fields{"eventRW": "read"})).Write, false)
			equal(t, "write", one(t, sample(fields{"eventRW": "Write", "eventName": "GetUser"})).Write, true)
			equal(t, "write", one(t, sample(fields{"eventRW": "", "eventName": "GetUser"})).Write, false)
		}},
		{"failure without errorCode: a sign-in", func(t *testing.T) {
			signIn := fields{"eventName": "ConsoleSignin", "eventType": "ConsoleSignin", "serviceName": "AasSub",
				"errorMessage": "Password wrong."}
			equal(t, "error", one(t, sample(signIn)).ErrorCode, "PasswordWrong")
			signIn["errorMessage"] = "密码错误"
			equal(t, "error", one(t, sample(signIn)).ErrorCode, "ConsoleSigninFailure")
		}},
		{"success with errorMessage: ConsoleSignin says success", func(t *testing.T) {
			for _, message := range []string{"success", "Success", ""} {
				e := one(t, sample(fields{"eventName": "ConsoleSignin", "eventType": "ConsoleSignin", "errorMessage": message}))
				equal(t, "error", e.ErrorCode, "")
			}
			// Of a call only the code counts.
			equal(t, "error", one(t, sample(fields{"errorMessage": "text"})).ErrorCode, "")
		}},
		{`errorCode of success is empty, or the text "null"`, func(t *testing.T) {
			for _, code := range []any{"", "null", nil} {
				equal(t, "error", one(t, sample(fields{"errorCode": code, "errorMessage": ""})).ErrorCode, "")
			}
			equal(t, "error", one(t, sample(fields{"errorCode": "NoPermission"})).ErrorCode, "NoPermission")
		}},
		{"temporary keys start with STS.", func(t *testing.T) {
			e := one(t, sample(fields{"userIdentity": fields{"type": "assumed-role", "accessKeyId": "STS.abc",
				"principalId": "344556677889900112:s", "userName": "builder:s"}}))
			equal(t, "key", e.AccessKey, "STS.abc")
		}},
		{"no acsRegion, no recipientAccountId: records of 2015", func(t *testing.T) {
			e := one(t, sample(fields{"acsRegion": drop, "recipientAccountId": drop}))
			equal(t, "region", e.Region, "")
			equal(t, "account", e.Account.ID, "")
			equal(t, "caller's account", e.CallerAccount, account)
		}},
		{"Log Service: the record as text or object in event, under two topics", func(t *testing.T) {
			inner := sample(nil)
			text, _ := json.Marshal(inner)
			want := one(t, inner)
			for _, raw := range []string{
				`{"__topic__":"actiontrail_event","owner_id":"1","event":` + string(text) + `}`,
				`{"__topic__":"actiontrail_audit_event","event":` + inner + `}`,
				`{"source":"a page","event":` + inner + `}`,
			} {
				equal(t, "event", fmt.Sprint(one(t, raw)), fmt.Sprint(want))
			}
			// Nothing of the wrapping becomes part of the record.
			e := one(t, `{"acsRegion":"outer","errorCode":"outer","event":`+sample(fields{"acsRegion": drop})+`}`)
			equal(t, "region", e.Region, "")
			equal(t, "error", e.ErrorCode, "")
			malformed(t, `{"event":"{"}`, "cut off")
			malformed(t, `{"event":7}`, "eventName is missing")
		}},
		{"one key twice: the last one counts", func(t *testing.T) {
			raw := strings.TrimSuffix(sample(nil), "}") + `,"eventName":"First","eventName":"Second","userIdentity":{"type":"system"}}`
			e := one(t, raw)
			equal(t, "name", e.Name, "Second")
			equal(t, "principal", e.Principal, "system")
		}},
	} {
		t.Run(trap.name, trap.check)
	}
}

func TestPrincipals(t *testing.T) {
	for _, c := range []struct {
		name string
		user fields
		want string
		kind schemas.PrincipalType
	}{
		{"user", fields{"type": "ram-user", "principalId": "203344556677889900", "userName": "lin"},
			"203344556677889900", schemas.UserPrincipal},
		{"user without id", fields{"type": "ram-user", "userName": "lin"}, "lin", schemas.UserPrincipal},
		{"type alone", fields{"type": "ram-user"}, "ram-user", schemas.UserPrincipal},
		{"root", fields{"type": "root-account", "principalId": account, "userName": "root"}, account, schemas.RootPrincipal},
		{"role session", fields{"type": "assumed-role", "principalId": "344556677889900112:job", "userName": "builder:job"},
			"344556677889900112", schemas.RolePrincipal},
		{"role session without id", fields{"type": "assumed-role", "userName": "builder:job"}, "builder", schemas.RolePrincipal},
		{"role session named like a person", fields{"type": "assumed-role", "principalId": "344556677889900112:noor@example.com",
			"userName": "builder:noor@example.com"}, "344556677889900112", schemas.RolePrincipal},
		{"CloudSSO session", fields{"type": "assumed-role", "principalId": "355667788990011223:noor",
			"userName": "aliyunreservedsso-admin:noor"}, "noor", schemas.FederatedPrincipal},
		{"CloudSSO session, as the console writes it", fields{"type": "assumed-role", "principalId": "355667788990011223:noor",
			"userName": "AliyunReservedSSO-Admin:noor"}, "noor", schemas.FederatedPrincipal},
		{"CloudSSO user", fields{"type": "cloudsso-user", "principalId": "u-1", "userName": "noor"},
			"noor", schemas.FederatedPrincipal},
		{"SAML sign-in", fields{"type": "saml-user", "userName": "noor@example.com"},
			"noor@example.com", schemas.FederatedPrincipal},
		{"SAML user behind a role", fields{"type": "saml-user", "principalId": "1:noor", "userName": "builder:noor"},
			"noor", schemas.FederatedPrincipal},
		{"OIDC sign-in without name", fields{"type": "oidc-user", "principalId": "p"}, "p", schemas.FederatedPrincipal},
		{"service", fields{"type": "system", "userName": "ecs.aliyuncs.com"}, "ecs.aliyuncs.com", schemas.ServicePrincipal},
		{"another account", fields{"type": "alibaba-cloud-account", "principalId": "1"}, "1", schemas.UnknownPrincipal},
		{"a type that is new", fields{"type": "robot"}, "robot", schemas.UnknownPrincipal},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := one(t, sample(fields{"userIdentity": c.user}))
			equal(t, "principal", e.Principal, c.want)
			equal(t, "type", e.PrincipalType, c.kind)
		})
	}
	// The numbers of users and of roles are not one space: only the type tells these two apart.
	user := one(t, sample(fields{"userIdentity": fields{"type": "ram-user", "principalId": "1"}}))
	role := one(t, sample(fields{"userIdentity": fields{"type": "assumed-role", "principalId": "1:x"}}))
	equal(t, "principals are equal", user.Principal == role.Principal, true)
	equal(t, "principals and types are equal", user.PrincipalType == role.PrincipalType, false)
}
