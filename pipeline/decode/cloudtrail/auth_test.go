package cloudtrail

import (
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// How the caller had signed in, in the records of all ages.
func TestAuth(t *testing.T) {
	session := func(mfa any) fields {
		return fields{"attributes": fields{"creationDate": "2026-03-02T08:58:11Z", "mfaAuthenticated": mfa}}
	}
	user := func(key string, session any) fields {
		return fields{"type": "IAMUser", "arn": "arn:aws:iam::210987654321:user/mara", "accessKeyId": key, "sessionContext": session}
	}
	signIn := fields{"eventType": "AwsConsoleSignIn", "eventName": "ConsoleLogin", "eventSource": "signin.amazonaws.com"}
	with := func(f fields, key string, v any) fields {
		all := fields{key: v}
		for k, v := range f {
			all[k] = v
		}
		return all
	}
	for _, c := range []struct {
		name   string
		change fields
		want   schemas.Auth
	}{
		{"a user's key", fields{"userIdentity": user("AKIA4TRAILVANE0EXAMPLE", nil)}, schemas.KeyAuth},
		{"a key that says it is a console", fields{"userIdentity": user("AKIA4TRAILVANE0EXAMPLE", session("true")),
			"userAgent": "console.amazonaws.com", "sessionCredentialFromConsole": "true"}, schemas.KeyAuth},
		{"temporary credentials of a user", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", session("true"))},
			schemas.TemporaryAuth},
		{"temporary credentials, nothing else", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", nil)}, schemas.TemporaryAuth},
		{"a session with a masked key", fields{"userIdentity": user("****", session("false"))}, schemas.TemporaryAuth},
		{"the console says so", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", session("true")),
			"sessionCredentialFromConsole": "true"}, schemas.ConsoleMFAAuth},
		{"the console says so, as a flag", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", session(true)),
			"sessionCredentialFromConsole": true}, schemas.ConsoleMFAAuth},
		{"the console without MFA", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", session("false")),
			"sessionCredentialFromConsole": "true"}, schemas.ConsoleAuth},
		{"not the console", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", session("true")),
			"sessionCredentialFromConsole": "false"}, schemas.TemporaryAuth},
		{"the agent of the console", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", session("true")),
			"userAgent": "console.ec2.amazonaws.com"}, schemas.ConsoleMFAAuth},
		{"the agent of the sign-in page", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", session("false")),
			"userAgent": "signin.amazonaws.com"}, schemas.ConsoleAuth},
		{"the agent of the S3 console", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", session("false")),
			"userAgent": "[S3Console/0.4, aws-internal/3 aws-sdk-java/1.12]"}, schemas.ConsoleAuth},
		{"an agent with a console in its name", fields{"userIdentity": user("ASIA4TRAILVANE0EXAMPLE", nil),
			"userAgent": "MyConsole/1"}, schemas.TemporaryAuth},
		{"a console action", fields{"userIdentity": user("", nil), "eventType": "AwsConsoleAction"}, schemas.ConsoleAuth},
		{"a sign-in with MFA", with(signIn, "additionalEventData", fields{"MFAUsed": "Yes"}), schemas.ConsoleMFAAuth},
		{"a sign-in without", with(signIn, "additionalEventData", fields{"MFAUsed": "No"}), schemas.ConsoleAuth},
		{"a sign-in that does not say", with(signIn, "additionalEventData", nil), schemas.ConsoleAuth},
		{"a sign-in with nonsense", with(signIn, "additionalEventData", 7), schemas.ConsoleAuth},
		{"a session of nonsense", fields{"userIdentity": user("", 7), "sessionCredentialFromConsole": fields{}},
			schemas.TemporaryAuth},
		{"a service", fields{"userIdentity": fields{"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}}, schemas.UnknownAuth},
		{"nobody", fields{"userIdentity": drop}, schemas.UnknownAuth},
	} {
		if got := one(t, sample(c.change)).Auth; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRequest(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{fields{"userName": "guest"}, `{"userName":"guest"}`}, {nil, ""}, {drop, ""}, {7, ""}, {"{}", ""}, {[]int{1}, ""},
	} {
		equal(t, "request", one(t, sample(fields{"requestParameters": c.value})).Request, c.want)
	}
}

// Requests name users and roles by bare names.
func TestCallerName(t *testing.T) {
	for _, c := range []struct {
		user fields
		want string
	}{
		{fields{"type": "IAMUser", "arn": "arn:aws:iam::210987654321:user/ops/mara", "userName": "mara"}, "mara"},
		{fields{"type": "IAMUser", "arn": "arn:aws:iam::210987654321:user/ops/mara"}, "mara"},
		{fields{"type": "AssumedRole", "arn": "arn:aws:sts::210987654321:assumed-role/Deployer/s-1"}, "Deployer"},
		{fields{"type": "AssumedRole", "arn": "arn:aws:sts::210987654321:assumed-role/Deployer/noor",
			"sessionContext": fields{"sourceIdentity": "noor"}}, "Deployer"},
		{fields{"type": "Root", "arn": "arn:aws:iam::210987654321:root"}, ""},
		{fields{"type": "SAMLUser", "userName": "noor"}, ""},
	} {
		equal(t, "caller", one(t, sample(fields{"userIdentity": c.user})).CallerName, c.want)
	}
}
