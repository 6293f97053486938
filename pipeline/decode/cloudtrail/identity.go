package cloudtrail

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

// An identity is userIdentity: who called, in a dozen forms.
type identity struct {
	kind, arn, principalID, accountID, accessKey, userName, invokedBy field.Value
	session, onBehalfOf                                               field.Value
}

func (id *identity) visit(key string, v field.Value) {
	switch key {
	case "type":
		id.kind = v
	case "arn":
		id.arn = v
	case "principalId":
		id.principalID = v
	case "accountId":
		id.accountID = v
	case "accessKeyId":
		id.accessKey = v
	case "userName":
		id.userName = v
	case "invokedBy":
		id.invokedBy = v
	case "sessionContext":
		id.session = v
	case "onBehalfOf":
		id.onBehalfOf = v
	}
}

// fill sets the event's fields that say who called.
//
// The principal is an ARN where there is one, as in CloudTrail's own insights: that of a role session without the session,
// so that all sessions of a role are one principal. Where the session's name is a person, the person is the principal, by
// the bare name, so that one person with many roles is one principal; IAM allows no ':' or '/' in such names, so nobody can
// pass as an ARN. Without an ARN: principalId, userName, invokedBy, type. The caller's name is that of the user or role, also
// where a person is the principal.
func (id *identity) fill(f *field.Reader, e *schemas.Event) {
	e.CallerAccount = f.Text("userIdentity.accountId", id.accountID, field.AccountLimit)
	e.AccessKey = f.Text("userIdentity.accessKeyId", id.accessKey, field.KeyLimit)
	kind := f.Text("userIdentity.type", id.kind, field.NameLimit)
	arn := f.Text("userIdentity.arn", id.arn, field.PrincipalLimit)
	principalID := f.Text("userIdentity.principalId", id.principalID, field.PrincipalLimit)
	userName := f.Text("userIdentity.userName", id.userName, field.PrincipalLimit)
	invokedBy := f.Text("userIdentity.invokedBy", id.invokedBy, field.PrincipalLimit)

	switch kind {
	case "Root":
		e.PrincipalType = schemas.RootPrincipal
	case "IAMUser":
		e.PrincipalType = schemas.UserPrincipal
		e.CallerName = first(userName, lastPart(arn))
	case "AssumedRole":
		e.PrincipalType = schemas.RolePrincipal
		var session string
		arn, session = splitSession(arn)
		e.CallerName = lastPart(arn)
		principalID, _, _ = strings.Cut(principalID, ":")
		if person := id.personIn(f, arn, session); person != "" {
			e.Principal, e.PrincipalType = person, schemas.FederatedPrincipal
			return
		}
	case "Role":
		e.PrincipalType = schemas.RolePrincipal
		e.CallerName = lastPart(arn)
	case "SAMLUser", "WebIdentityUser":
		// The call that turns the sign-in into a role session. The person is named, the provider is in principalId.
		e.Principal, e.PrincipalType = first(userName, principalID, arn, kind), schemas.FederatedPrincipal
		return
	case "IdentityCenterUser":
		e.Principal, e.PrincipalType = first(id.onBehalf(f), userName, principalID, kind), schemas.FederatedPrincipal
		return
	case "FederatedUser", "Directory":
		e.PrincipalType = schemas.FederatedPrincipal
	case "AWSService":
		e.PrincipalType = schemas.ServicePrincipal
	case "":
		if invokedBy != "" && arn == "" && principalID == "" { // an AwsServiceEvent
			e.PrincipalType = schemas.ServicePrincipal
		}
	case "AWSAccount": // somebody of another account: the kind is not told, the id of a role has its session
		if strings.HasPrefix(principalID, "AROA") {
			principalID, _, _ = strings.Cut(principalID, ":")
		}
	}
	e.Principal = first(arn, principalID, userName, invokedBy, kind)
}

// splitSession splits "arn:aws:sts::123456789012:assumed-role/Admin/alice" into the role's part and "alice".
func splitSession(arn string) (role, session string) {
	const marker = ":assumed-role/"
	i := strings.Index(arn, marker)
	if i < 0 {
		return arn, ""
	}
	slash := strings.IndexByte(arn[i+len(marker):], '/')
	if slash < 0 {
		return arn, ""
	}
	slash += i + len(marker)
	return arn[:slash], arn[slash+1:]
}

// personIn returns the person behind a session of a role, or empty if it is the role that acts:
//
//   - sourceIdentity, which the one who signs in first sets and no later role can change;
//   - the session's name, if the role is one of IAM Identity Center: it is the user's;
//   - the session's name, if the role was taken with a web identity and the name is an e-mail address. Other names of such
//     sessions are those of programs, new with every run ("botocore-session-1689000000", "GitHubActions").
//
// Sessions that a SAML assertion started look like any other, unless the provider sets sourceIdentity.
func (id *identity) personIn(f *field.Reader, role, session string) string {
	var sourceIdentity, issuer, web, issuerARN, provider field.Value
	f.Each("userIdentity.sessionContext", id.session, func(key string, v field.Value) {
		switch key {
		case "sourceIdentity":
			sourceIdentity = v
		case "sessionIssuer":
			issuer = v
		case "webIdFederationData":
			web = v
		}
	})
	f.Each("userIdentity.sessionContext.sessionIssuer", issuer, func(key string, v field.Value) {
		if key == "arn" {
			issuerARN = v
		}
	})
	f.Each("userIdentity.sessionContext.webIdFederationData", web, func(key string, v field.Value) {
		if key == "federatedProvider" {
			provider = v
		}
	})
	person := f.Text("userIdentity.sessionContext.sourceIdentity", sourceIdentity, field.PrincipalLimit)
	if person != "" {
		return person
	}
	iamARN := f.Text("userIdentity.sessionContext.sessionIssuer.arn", issuerARN, field.PrincipalLimit)
	if isIdentityCenter(role, iamARN) {
		return session
	}
	federated := f.Text("userIdentity.sessionContext.webIdFederationData.federatedProvider", provider, field.PrincipalLimit)
	if federated != "" && strings.Contains(session, "@") {
		return session
	}
	return ""
}

// isIdentityCenter tells the roles of IAM Identity Center by their path, which nobody else can create, and where the record
// does not say the path, by their name.
func isIdentityCenter(role, iamARN string) bool {
	if iamARN != "" {
		return strings.Contains(iamARN, ":role/aws-reserved/sso.amazonaws.com/")
	}
	return strings.Contains(role, ":assumed-role/AWSReservedSSO_")
}

// onBehalf returns the id of the user in the directory of IAM Identity Center.
func (id *identity) onBehalf(f *field.Reader) string {
	var user field.Value
	f.Each("userIdentity.onBehalfOf", id.onBehalfOf, func(key string, v field.Value) {
		if key == "userId" {
			user = v
		}
	})
	return f.Text("userIdentity.onBehalfOf.userId", user, field.PrincipalLimit)
}

// lastPart returns the name at the end of an ARN, behind the path.
func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}
