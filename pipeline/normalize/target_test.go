package normalize

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

const adminDocument = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// quoted returns the JSON text of a string.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestTargetOf(t *testing.T) {
	user := schemas.Event{Name: "X", PrincipalType: schemas.UserPrincipal, CallerName: "mara"}
	role := schemas.Event{Name: "X", PrincipalType: schemas.RolePrincipal, CallerName: "Deployer"}
	person := schemas.Event{Name: "X", PrincipalType: schemas.FederatedPrincipal, CallerName: "Deployer"}
	root := schemas.Event{Name: "X", PrincipalType: schemas.RootPrincipal}
	statement := func(s string) string { return `{"policyDocument":` + quoted(`{"Statement":`+s+`}`) + `}` }
	for _, c := range []struct {
		name    string
		caller  schemas.Event
		request string
		want    schemas.Target
	}{
		{"nothing named", user, `{}`, schemas.UnknownTarget},
		{"no request", user, ``, schemas.UnknownTarget},
		{"another user", user, `{"userName":"guest"}`, schemas.OtherTarget},
		{"itself", user, `{"userName":"mara"}`, schemas.SelfTarget},
		{"itself, as Alibaba Cloud writes it", user, `{"UserName":"Mara"}`, schemas.SelfTarget},
		{"itself, by the long name", user, `{"UserPrincipalName":"mara@1987654321098765.onaliyun.com"}`, schemas.SelfTarget},
		{"a role named like the user", user, `{"roleName":"mara"}`, schemas.OtherTarget},
		{"a user named like the role", role, `{"userName":"Deployer"}`, schemas.OtherTarget},
		{"its own role", role, `{"roleName":"Deployer"}`, schemas.SelfTarget},
		{"a person's own role", person, `{"roleName":"Deployer"}`, schemas.SelfTarget},
		{"an empty name", user, `{"userName":""}`, schemas.UnknownTarget},
		{"a name that is none", user, `{"userName":7}`, schemas.UnknownTarget},
		{"null", user, `{"userName":null}`, schemas.UnknownTarget},
		{"a nameless root", root, `{"userName":""}`, schemas.UnknownTarget},
		{"a trail", user, `{"name":"audit"}`, schemas.OtherTarget},

		{"an administrator's policy", user, `{"userName":"guest","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`,
			schemas.AdminTarget},
		{"for itself", user, `{"userName":"mara","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, schemas.AdminTarget},
		{"by name", user, `{"PolicyName":"AdministratorAccess","PolicyType":"System","UserName":"guest"}`, schemas.AdminTarget},
		{"over users", user, `{"PolicyName":"AliyunRAMFullAccess","UserName":"guest"}`, schemas.AdminTarget},
		{"of a permission set", user, `{"managedPolicyArn":"arn:aws:iam::aws:policy/PowerUserAccess"}`, schemas.AdminTarget},
		{"over users, on AWS", user, `{"policyArn":"arn:aws:iam::aws:policy/IAMFullAccess"}`, schemas.AdminTarget},
		{"a policy that reads", user, `{"policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}`, schemas.OtherTarget},
		{"a name that begins alike", user, `{"policyName":"AdministratorAccessNot"}`, schemas.OtherTarget},

		{"everything, as text", user, `{"policyDocument":` + quoted(adminDocument) + `}`, schemas.AdminTarget},
		{"everything, URL-encoded", user, `{"policyDocument":` + quoted(url.QueryEscape(adminDocument)) + `}`, schemas.AdminTarget},
		{"everything, URL-encoded in small letters", user, `{"policyDocument":` +
			quoted(strings.ReplaceAll(url.QueryEscape(adminDocument), "%7B", "%7b")) + `}`, schemas.AdminTarget},
		{"every action of every service", user, statement(`{"Effect":"Allow","Action":"*:*","Resource":"*"}`), schemas.AdminTarget},
		{"everything, as an object", user, `{"PolicyDocument":` + adminDocument + `}`, schemas.AdminTarget},
		{"everything, with space before", user, `{"policyDocument":` + quoted("\n "+adminDocument) + `}`, schemas.AdminTarget},
		{"everything, inline", user, `{"inlinePolicy":` + quoted(adminDocument) + `}`, schemas.AdminTarget},
		{"everything among others", user, statement(`[{"Effect":"Deny","Action":"*","Resource":"*"},` +
			`{"Effect":"Allow","Action":["s3:Get*","*"],"Resource":["*"]}]`), schemas.AdminTarget},
		{"everything with a condition", user, statement(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}`),
			schemas.AdminTarget},
		{"everything but", user, statement(`{"Effect":"Allow","NotAction":["iam:*"],"Resource":"*"}`), schemas.AdminTarget},
		{"everything on one thing", user, statement(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::a"}`),
			schemas.OtherTarget},
		{"one thing on everything", user, statement(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`),
			schemas.OtherTarget},
		{"denied", user, statement(`{"Effect":"Deny","Action":"*","Resource":"*"}`), schemas.OtherTarget},
		{"a document of nonsense", user, `{"policyDocument":"{"}`, schemas.OtherTarget},
		{"a statement of nonsense", user, statement(`[7,"x",[{}]]`), schemas.OtherTarget},
		{"a policy without a name", user, `{"policyArn":""}`, schemas.UnknownTarget},
		{"a policy that is a number", user, `{"policyDocument":7}`, schemas.UnknownTarget},
		{"a word", user, `{"policyType":"System"}`, schemas.UnknownTarget},
		{"half an escape", user, `{"policyDocument":"%7B%2"}`, schemas.UnknownTarget},

		{"everybody", user, `{"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}}`,
			schemas.WildcardTarget},
		{"everybody, of AWS", user, statement(`{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:root","*"]},"Action":"sts:AssumeRole"}`),
			schemas.WildcardTarget},
		{"everybody, of Alibaba Cloud", user, `{"AssumeRolePolicyDocument":` + quoted(`{"Statement":[{"Action":"sts:AssumeRole",`+
			`"Effect":"Allow","Principal":{"RAM":["*"]}}]}`) + `}`, schemas.WildcardTarget},
		{"everybody but", user, statement(`{"Effect":"Allow","NotPrincipal":{"AWS":"x"},"Action":"*","Resource":"*"}`),
			schemas.WildcardTarget},
		{"everybody, on a condition", user, statement(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*",` +
			`"Condition":{"ArnEquals":{"aws:SourceArn":"x"}}}`), schemas.OtherTarget},
		{"everybody denied", user, statement(`{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`), schemas.OtherTarget},
		{"a key's policy", user, `{"keyId":"k","policy":` + quoted(`{"Statement":[{"Effect":"Allow",`+
			`"Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"*","Resource":"*"}]}`) + `}`, schemas.OtherTarget},
		{"a queue's policy", user, `{"queueUrl":"q","attributes":{"Policy":` + quoted(`{"Statement":{"Effect":"Allow",`+
			`"Principal":"*"}}`) + `}}`, schemas.WildcardTarget},
		{"a topic's policy", user, `{"attributeName":"Policy","attributeValue":` + quoted(`{"Statement":{"Effect":"Allow",`+
			`"Principal":"*"}}`) + `}`, schemas.WildcardTarget},
		{"a function for everybody", user, `{"functionName":"f","principal":"*","action":"lambda:InvokeFunction"}`,
			schemas.WildcardTarget},
		{"a function for a service", user, `{"functionName":"f","principal":"s3.amazonaws.com"}`, schemas.OtherTarget},
		{"a public ACL", user, `{"bucketName":"b","x-amz-acl":["public-read"]}`, schemas.WildcardTarget},
		{"a public ACL of OSS", user, `{"bucketName":"b","x-oss-acl":"public-read-write"}`, schemas.WildcardTarget},
		{"a private ACL", user, `{"bucketName":"b","x-amz-acl":["private"]}`, schemas.OtherTarget},
		{"grants for everybody", user, `{"AccessControlPolicy":{"AccessControlList":{"Grant":[{"Grantee":` +
			`{"URI":"http://acs.amazonaws.com/groups/global/AllUsers"},"Permission":"READ"}]}}}`, schemas.WildcardTarget},
		{"a snapshot for everybody", user, `{"snapshotId":"s","createVolumePermission":{"add":{"items":[{"group":"all"}]}}}`,
			schemas.WildcardTarget},
		{"a snapshot for nobody", user, `{"snapshotId":"s","createVolumePermission":{"remove":{"items":[{"group":"all"}]}}}`,
			schemas.OtherTarget},
		{"a snapshot for one", user, `{"snapshotId":"s","createVolumePermission":{"add":{"items":[{"userId":"123456789012"}]}}}`,
			schemas.OtherTarget},
		{"a database's snapshot", user, `{"dBSnapshotIdentifier":"s","valuesToAdd":["all"]}`, schemas.WildcardTarget},

		{"the root's MFA", user, `{"userName":"x","serialNumber":"arn:aws:iam::123456789012:mfa/root-account-mfa-device"}`,
			schemas.RootTarget},
		{"another MFA", user, `{"serialNumber":"arn:aws:iam::123456789012:mfa/mara"}`, schemas.OtherTarget},

		{"what could be read", user, `{"userName":"guest","x":`, schemas.OtherTarget},
		{"no object", user, `["userName"]`, schemas.UnknownTarget},
		{"broken at once", user, `{`, schemas.UnknownTarget},
	} {
		e := c.caller
		e.Request = c.request
		if got := targetOf(&e); got != c.want {
			t.Errorf("%s: %s, want %s\n%s", c.name, got, c.want, c.request)
		}
	}
}

// Some calls are about the caller, or about the root, without naming anybody.
func TestTargetOfNobodyNamed(t *testing.T) {
	for _, c := range []struct {
		service, name, request string
		caller                 schemas.PrincipalType
		want                   schemas.Target
	}{
		{"iam.amazonaws.com", "ChangePassword", "", schemas.UserPrincipal, schemas.SelfTarget},
		{"iam.amazonaws.com", "CreateAccessKey", "", schemas.UserPrincipal, schemas.SelfTarget},
		{"iam.amazonaws.com", "CreateAccessKey", "", schemas.RootPrincipal, schemas.RootTarget},
		{"iam.amazonaws.com", "CreateAccessKey", `{"userName":"x"}`, schemas.RootPrincipal, schemas.OtherTarget},
		{"iam.amazonaws.com", "CreateAccessKey", `{"omitted":true,"reason":"requestParameters too large"}`, schemas.UserPrincipal,
			schemas.UnknownTarget},
		{"iam.amazonaws.com", "DeleteAccountPasswordPolicy", "", schemas.UserPrincipal, schemas.UnknownTarget},
		{"signin.amazonaws.com", "PasswordUpdated", "", schemas.RootPrincipal, schemas.RootTarget},
		{"AasCustomer", "PasswordReset", "", schemas.RootPrincipal, schemas.RootTarget},
		{"AasSub", "ChangePassword", "", schemas.UserPrincipal, schemas.SelfTarget},
		{"Ram", "ChangePassword", `{"AcsProduct":"Ram"}`, schemas.UserPrincipal, schemas.SelfTarget},
	} {
		e := schemas.Event{Service: c.service, Name: c.name, Request: c.request, PrincipalType: c.caller}
		if got := targetOf(&e); got != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.service, c.name, c.request, got, c.want)
		}
	}
}

// A request of the greatest size costs no more than its length, however it is made.
func TestTargetOfHostileRequests(t *testing.T) {
	const largest = 768 << 10
	for name, request := range map[string]string{
		"policies":       `{` + strings.Repeat(`"policy":"{\"Statement\":[{}]}",`, largest/33) + `"x":1}`,
		"statements":     `{"policy":{"Statement":[` + strings.Repeat(`{},`, largest/3) + `{}]}}`,
		"one statement":  `{"policy":{"Statement":[` + strings.Repeat(`[`, largest),
		"actions":        `{"policy":{"Statement":{"Effect":"Allow","Action":[` + strings.Repeat(`"*",`, largest/4) + `"*"],"Resource":"*"}}}`,
		"encoded":        `{"policy":"` + strings.Repeat("%7B", largest/3) + `"}`,
		"depth":          strings.Repeat(`{"policy":`, largest/10),
		"a key":          `{"` + strings.Repeat("policy", largest/6) + `":{}}`,
		"text in text":   `{"policy":` + quoted(`{"policy":`+quoted(strings.Repeat(`\"`, largest/16))+`}`) + `}`,
		"backslashes":    `{"policy":"` + strings.Repeat(`\\`, largest/2) + `"}`,
		"invalid UTF-8":  `{"userName":"` + strings.Repeat("\xff", largest) + `"}`,
		"access control": `{"acl":` + strings.Repeat(`[`, largest) + strings.Repeat(`]`, largest) + `}`,
	} {
		e := schemas.Event{Name: "X", Request: request}
		if got := targetOf(&e); got > schemas.RootTarget {
			t.Errorf("%s: target %d is none", name, got)
		}
	}
}

// Whatever the request is, it has a target and nothing panics.
func FuzzTargetOf(f *testing.F) {
	for _, s := range []string{
		`{"userName":"mara","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`,
		`{"policyDocument":` + quoted(adminDocument) + `}`, `{"bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"}}]}}`,
		`{"policyDocument":` + quoted(url.QueryEscape(adminDocument)) + `}`, `{"attributes":{"Policy":"{}"}}`,
		`{"createVolumePermission":{"add":{"items":[{"group":"all"}]}},"serialNumber":"x","x-amz-acl":["private"]}`,
	} {
		f.Add("CreateAccessKey", "mara", s)
	}
	f.Fuzz(func(t *testing.T, name, caller, request string) {
		e := schemas.Event{Service: "iam.amazonaws.com", Name: name, CallerName: caller, PrincipalType: schemas.UserPrincipal, Request: request}
		if got := targetOf(&e); got > schemas.RootTarget || got != targetOf(&e) {
			t.Errorf("target %d is none, or not always the same", got)
		}
	})
}
