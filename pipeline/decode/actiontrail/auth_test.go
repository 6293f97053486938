package actiontrail

import (
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// How the caller had signed in.
func TestAuth(t *testing.T) {
	user := func(key, mfa any) fields {
		f := fields{"type": "ram-user", "principalId": "203344556677889900", "userName": "lin", "accessKeyId": key}
		if mfa != nil {
			f["sessionContext"] = fields{"attributes": fields{"mfaAuthenticated": mfa, "creationDate": "2026-03-02T09:00:00Z"}}
		}
		return f
	}
	signIn := func(additional any) fields {
		return fields{"eventType": "ConsoleSignin", "eventName": "ConsoleSignin", "serviceName": "AasSub",
			"additionalEventData": additional}
	}
	for _, c := range []struct {
		name   string
		change fields
		want   schemas.Auth
	}{
		{"a key", fields{"userAgent": "aliyun-cli/3.0", "userIdentity": user("LTAI5tEXAMPLE", "false")}, schemas.KeyAuth},
		{"a key that says it is a console", fields{"userIdentity": user("LTAI5tEXAMPLE", "true")}, schemas.KeyAuth},
		{"temporary credentials", fields{"userAgent": "aliyun-cli/3.0", "userIdentity": user("STS.EXAMPLE", "false")},
			schemas.TemporaryAuth},
		{"the console's agent", fields{"userIdentity": user("STS.EXAMPLE", "true")}, schemas.ConsoleMFAAuth},
		{"the console's agent in small letters", fields{"userAgent": "aliyunconsole", "userIdentity": user("STS.EXAMPLE", "false")},
			schemas.ConsoleAuth},
		{"a console operation", fields{"eventType": "ConsoleOperation", "userAgent": "Mozilla/5.0", "userIdentity": user(nil, "true")},
			schemas.ConsoleMFAAuth},
		{"a session without a key", fields{"userAgent": "Mozilla/5.0", "userIdentity": user(nil, "false")}, schemas.ConsoleAuth},
		{"no session, no key", fields{"userAgent": "Mozilla/5.0", "userIdentity": user(nil, nil)}, schemas.UnknownAuth},
		{"a masked key", fields{"userAgent": "aliyun-cli/3.0", "userIdentity": user("f6Iz****", nil)}, schemas.UnknownAuth},
		{"a sign-in with MFA", signIn(fields{"loginAccount": "lin", "isMFAChecked": "true"}), schemas.ConsoleMFAAuth},
		{"a sign-in without", signIn(fields{"isMFAChecked": "false"}), schemas.ConsoleAuth},
		{"a sign-in that does not say", signIn(nil), schemas.ConsoleAuth},
		{"nonsense", fields{"userAgent": "x", "userIdentity": fields{"type": "ram-user", "sessionContext": 7}}, schemas.UnknownAuth},
		{"a service", fields{"userAgent": "ecs.aliyuncs.com", "userIdentity": fields{"type": "system"}}, schemas.UnknownAuth},
	} {
		if got := one(t, sample(c.change)).Auth; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRequest(t *testing.T) {
	for _, c := range []struct {
		object, text any
		want         string
	}{
		{fields{"UserName": "guest"}, `{"UserName":"other"}`, `{"UserName":"guest"}`},
		{nil, `{"UserName":"guest"}`, `{"UserName":"guest"}`},
		{`{"UserName":"guest"}`, nil, `{"UserName":"guest"}`},
		{drop, drop, ""}, {7, []int{1}, ""}, {"", "text", ""},
	} {
		e := one(t, sample(fields{"requestParameters": c.object, "requestParameterJson": c.text}))
		equal(t, "request", e.Request, c.want)
	}
}

// Requests name users and roles by bare names.
func TestCallerName(t *testing.T) {
	for _, c := range []struct {
		user fields
		want string
	}{
		{fields{"type": "ram-user", "principalId": "1", "userName": "lin"}, "lin"},
		{fields{"type": "assumed-role", "principalId": "2:s", "userName": "builder:s"}, "builder"},
		{fields{"type": "assumed-role", "principalId": "2:noor", "userName": "aliyunreservedsso-admin:noor"},
			"aliyunreservedsso-admin"},
		{fields{"type": "root-account", "principalId": account, "userName": "root"}, ""},
		{fields{"type": "saml-user", "userName": "noor"}, ""},
	} {
		equal(t, "caller", one(t, sample(fields{"userIdentity": c.user})).CallerName, c.want)
	}
}
