package actiontrail

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

// An identity is userIdentity: who called.
type identity struct {
	kind, principalID, accountID, accessKey, userName, session field.Value
}

func (id *identity) visit(key string, v field.Value) {
	switch key {
	case "type":
		id.kind = v
	case "principalId":
		id.principalID = v
	case "accountId":
		id.accountID = v
	case "accessKeyId":
		id.accessKey = v
	case "userName":
		id.userName = v
	case "sessionContext":
		id.session = v
	}
}

// fill sets the event's fields that say who called.
//
// The principal is principalId, as in ActionTrail's own insights; that of an assumed role is the role's id, without the
// session. The numbers of users, roles and accounts are not one space: a principal is one only together with its
// PrincipalType, so whoever keeps state per principal has both in the key. Where the session's name is a person, the
// person is the principal, by name. Without principalId: userName, type. The caller's name is that of the user or role, also
// where a person is the principal.
func (id *identity) fill(f *field.Reader, e *schemas.Event) {
	e.CallerAccount = f.Text("userIdentity.accountId", id.accountID, field.AccountLimit)
	e.AccessKey = f.Text("userIdentity.accessKeyId", id.accessKey, field.KeyLimit)
	kind := f.Text("userIdentity.type", id.kind, field.NameLimit)
	principal := f.Text("userIdentity.principalId", id.principalID, field.PrincipalLimit)
	userName := f.Text("userIdentity.userName", id.userName, field.PrincipalLimit)

	switch kind {
	case "root-account":
		e.PrincipalType = schemas.RootPrincipal
	case "ram-user":
		e.PrincipalType = schemas.UserPrincipal
		e.CallerName = userName
	case "assumed-role":
		e.PrincipalType = schemas.RolePrincipal
		role, session, _ := strings.Cut(userName, ":")
		e.CallerName = role
		if session != "" && isCloudSSO(role) {
			e.Principal, e.PrincipalType = session, schemas.FederatedPrincipal
			return
		}
		userName = role
		principal, _, _ = strings.Cut(principal, ":")
	case "cloudsso-user", "saml-user", "oidc-user":
		// The name, not the number, because the sessions that this sign-in starts have nothing else. It may stand behind
		// that of a role.
		e.PrincipalType = schemas.FederatedPrincipal
		if _, session, ok := strings.Cut(userName, ":"); ok && session != "" {
			userName = session
		}
		if userName != "" {
			e.Principal = userName
			return
		}
	case "system":
		e.PrincipalType = schemas.ServicePrincipal
	}
	// What is left, "alibaba-cloud-account" above all, says which account called, but not who in it.
	switch {
	case principal != "":
		e.Principal = principal
	case userName != "":
		e.Principal = userName
	default:
		e.Principal = kind
	}
}

// isCloudSSO tells the roles that CloudSSO creates for its access configurations. Records write role names in lower case.
func isCloudSSO(role string) bool {
	const prefix = "AliyunReservedSSO-"
	return len(role) > len(prefix) && strings.EqualFold(role[:len(prefix)], prefix)
}
