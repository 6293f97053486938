package cloudtrail

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

// authOf says how the caller had signed in. A long-lived key is one whatever else the record says, because who has stolen it
// may call himself a console. Nothing here makes a record malformed.
func (r *record) authOf(e *schemas.Event, session field.Value) schemas.Auth {
	switch {
	case r.kind.Is("AwsConsoleSignIn"):
		return field.Console(r.additional.Within("MFAUsed").Is("Yes"))
	case strings.HasPrefix(e.AccessKey, "AKIA"):
		return schemas.KeyAuth
	case r.fromConsole.True(), r.kind.Is("AwsConsoleAction"), isConsole(e.UserAgent):
		return field.Console(session.Within("attributes", "mfaAuthenticated").True())
	case strings.HasPrefix(e.AccessKey, "ASIA"), session.Present():
		return schemas.TemporaryAuth
	}
	return schemas.UnknownAuth
}

// isConsole tells the agents of the console in records that are older than sessionCredentialFromConsole:
// "console.amazonaws.com", "console.ec2.amazonaws.com", "signin.amazonaws.com", "[S3Console/0.4, aws-internal/3 …]".
func isConsole(agent string) bool {
	return strings.HasPrefix(agent, "console.") || agent == "signin.amazonaws.com" ||
		strings.Contains(agent, "Console") && strings.Contains(agent, "aws-internal")
}
