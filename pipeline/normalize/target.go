package normalize

import (
	"net/url"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

// targetOf says whom or what a sensitive operation changes, as far as its request tells. Where it tells of several, the gravest
// one counts: who gives himself an administrator's policy has an administrator's policy as target.
//
// The parameters of both clouds differ in the case of their keys, and a policy is an object here and JSON text there, also
// URL-encoded. What is not as expected says nothing. Each part of a request is looked at once, to a fixed depth, so that a
// hostile one costs no more than its length.
func targetOf(e *schemas.Event) schemas.Target {
	t := targets{event: e, self: ownTarget(e)}
	// A request that is broken says what could be read of it.
	_ = field.Each(e.Request, t.parameter)
	switch {
	case isRoots(e):
		return schemas.RootTarget
	case !t.named && changesCaller(e):
		t.add(t.self)
	}
	return t.worst
}

// targets collects what the parameters of a request tell.
type targets struct {
	event *schemas.Event
	self  schemas.Target // of what the caller does to itself
	worst schemas.Target
	named bool // a user or role is named
}

func (t *targets) add(found schemas.Target) { t.worst = max(t.worst, found) }

// parameter looks at one parameter of the request.
func (t *targets) parameter(key string, v field.Value) {
	if !v.Present() {
		return
	}
	switch key = strings.ToLower(key); key {
	case "username", "userprincipalname":
		t.identity(v, schemas.UserPrincipal)
	case "rolename":
		t.identity(v, schemas.RolePrincipal)
	case "policyarn", "policyname", "managedpolicyarn", "policyid", "permissionpolicyname":
		t.policy(v)
	case "principal", "principalid", "granteeprincipal":
		t.add(schemas.OtherTarget)
		if v.Is("*") {
			t.add(schemas.WildcardTarget)
		}
	case "serialnumber":
		t.add(schemas.OtherTarget)
		if text, _ := v.Unquote(); strings.HasSuffix(text, ":mfa/root-account-mfa-device") {
			t.add(schemas.RootTarget)
		}
	case "acl", "x-amz-acl", "x-oss-acl", "accesscontrolpolicy", "valuestoadd",
		"x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-full-control":
		t.grants(v)
	case "createvolumepermission", "launchpermission":
		t.grants(v.Within("add"))
	case "omitted":
		t.named = t.named || v.True() // CloudTrail leaves out what is too large: nobody knows who was named
	case "attributes", "attribute":
		json, _ := v.Object()
		_ = field.Each(json, func(key string, v field.Value) {
			if strings.EqualFold(key, "policy") {
				t.document(v)
			}
		})
	default:
		switch {
		case strings.Contains(key, "policy"), key == "attributevalue", key == "content":
			t.document(v)
		case names[key]:
			t.add(schemas.OtherTarget)
		}
	}
}

// names are the parameters that name something else than an identity or a policy, in small letters.
var names = map[string]bool{
	"groupname": true, "bucketname": true, "bucket": true, "key": true, "keyid": true, "secretid": true, "secretname": true,
	"name": true, "trailname": true, "functionname": true, "repositoryname": true, "resourcearn": true, "topicarn": true,
	"queueurl": true, "targetid": true, "permissionsetarn": true, "accessconfigurationid": true, "instanceprofilename": true,
	"dbinstanceidentifier": true, "dbclusteridentifier": true, "dbinstanceid": true, "accountname": true, "instanceid": true,
	"snapshotid": true, "imageid": true, "groupid": true, "securitygroupid": true, "accesskeyid": true, "useraccesskeyid": true,
	"samlproviderarn": true, "projectname": true, "clusterid": true, "userid": true,
	"loggroupname": true, "logstreamname": true, "configurationrecordername": true, "deliverychannelname": true, "detectorid": true,
}

// identity looks at the name of a user or role.
func (t *targets) identity(v field.Value, kind schemas.PrincipalType) {
	name, _ := v.Unquote()
	name, _, _ = strings.Cut(name, "@") // "lin@1234567890123456.onaliyun.com"
	if name == "" {
		return
	}
	t.named = true
	acts := t.event.PrincipalType
	if acts == schemas.FederatedPrincipal {
		acts = schemas.RolePrincipal // a person, by a role
	}
	if kind == acts && strings.EqualFold(name, t.event.CallerName) {
		t.add(t.self)
		return
	}
	t.add(schemas.OtherTarget)
}

// policy looks at the name of a policy, or at its ARN, at whose end the name stands.
func (t *targets) policy(v field.Value) {
	text, _ := v.Unquote()
	if text == "" {
		return
	}
	t.add(schemas.OtherTarget)
	switch strings.ToLower(text[strings.LastIndexByte(text, '/')+1:]) {
	case "administratoraccess", "poweruseraccess", "iamfullaccess", "aliyunramfullaccess":
		t.add(schemas.AdminTarget)
	}
}

// document looks at a policy: an object, or that as JSON text, which may be URL-encoded as in the answers of IAM.
func (t *targets) document(v field.Value) {
	json, ok := v.Object()
	if !ok {
		if json, ok = v.Unquote(); !ok {
			return
		}
		if strings.HasPrefix(json, "%7B") || strings.HasPrefix(json, "%7b") {
			json, _ = url.QueryUnescape(json)
		}
	}
	if !strings.HasPrefix(strings.TrimLeft(json, " \t\r\n"), "{") {
		return // a name, a date, whatever has policy in its key
	}
	t.add(schemas.OtherTarget)
	_ = field.Each(json, func(key string, v field.Value) {
		if strings.EqualFold(key, "Statement") {
			each(v, t.statement)
		}
	})
}

// statement looks at one statement of a policy. Those that deny give nobody anything. With a condition, "everybody" is mostly
// a service of one's own account; with one or without, "everything" is an administrator's.
func (t *targets) statement(v field.Value) {
	json, ok := v.Object()
	if !ok {
		return
	}
	var effect, action, notAction, resource, principal, notPrincipal, condition field.Value
	_ = field.Each(json, func(key string, v field.Value) {
		switch strings.ToLower(key) {
		case "effect":
			effect = v
		case "action":
			action = v
		case "notaction":
			notAction = v
		case "resource":
			resource = v
		case "principal":
			principal = v
		case "notprincipal":
			notPrincipal = v
		case "condition":
			condition = v
		}
	})
	if text, _ := effect.Unquote(); !strings.EqualFold(text, "Allow") {
		return
	}
	if principal.Present() || notPrincipal.Present() {
		if !condition.Present() && (isEverybody(principal) || notPrincipal.Present()) {
			t.add(schemas.WildcardTarget)
		}
		return // the policy is that of a resource: what it says of everything is said of that
	}
	if hasAny(resource, "*") && (hasAny(action, "*", "*:*") || notAction.Present()) {
		t.add(schemas.AdminTarget)
	}
}

// isEverybody says whether a principal is everybody: "*", {"AWS": "*"}, {"RAM": ["*"]}.
func isEverybody(principal field.Value) bool {
	json, ok := principal.Object()
	if !ok {
		return hasAny(principal, "*")
	}
	everybody := false
	_ = field.Each(json, func(_ string, v field.Value) { everybody = everybody || hasAny(v, "*") })
	return everybody
}

// each calls visit for a value, or for the elements of it if it is an array.
func each(v field.Value, visit func(field.Value)) {
	if json, ok := v.Array(); ok {
		_ = field.EachElement(json, visit)
		return
	}
	visit(v)
}

// grants looks at what grants something, in any of its forms.
func (t *targets) grants(v field.Value) {
	t.add(schemas.OtherTarget)
	if isPublic(v) {
		t.add(schemas.WildcardTarget)
	}
}

// hasAny says whether a text, or one in an array, is one of these.
func hasAny(v field.Value, texts ...string) (has bool) {
	each(v, func(v field.Value) {
		if text, ok := v.Unquote(); ok && slices.Contains(texts, text) {
			has = true
		}
	})
	return has
}

// isPublic says whether grants open something to everybody. It looks for the words that both clouds have for everybody, in
// the text of all of it.
func isPublic(v field.Value) bool {
	json := v.JSON()
	for _, everybody := range []string{
		`"public-read"`, `"public-read-write"`, `"authenticated-read"`, `"all"`,
		"groups/global/AllUsers", "groups/global/AuthenticatedUsers",
	} {
		if strings.Contains(json, everybody) {
			return true
		}
	}
	return false
}

// ownTarget returns the target of what the caller does to itself.
func ownTarget(e *schemas.Event) schemas.Target {
	if e.PrincipalType == schemas.RootPrincipal {
		return schemas.RootTarget
	}
	return schemas.SelfTarget
}

// changesCaller says whether a call changes the caller when it names nobody: both clouds take the caller's user then.
func changesCaller(e *schemas.Event) bool {
	switch strings.ToLower(e.Name) {
	case "changepassword", "createaccesskey", "updateaccesskey", "createloginprofile", "updateloginprofile", "deleteloginprofile",
		"enablemfadevice", "deactivatemfadevice", "bindmfadevice", "unbindmfadevice", "bindpersonaldingtalk":
		return true
	}
	return false
}

// isRoots says whether an operation is one of the account's root by its nature: the sign-in service of AWS changes passwords of
// no other identity, and AasCustomer is the sign-in of Alibaba Cloud accounts themselves.
func isRoots(e *schemas.Event) bool {
	return strings.EqualFold(e.Service, "signin.amazonaws.com") || strings.EqualFold(e.Service, "AasCustomer")
}
