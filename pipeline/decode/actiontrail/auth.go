package actiontrail

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

// authOf says how the caller had signed in. A long-lived key is one whatever else the record says, because who has stolen it
// may call himself a console. Who has a session but no key at all came through the console. Nothing here makes a record
// malformed.
func (r *record) authOf(e *schemas.Event, session field.Value) schemas.Auth {
	switch {
	case r.kind.Is("ConsoleSignin"):
		return field.Console(r.additional.Within("isMFAChecked").True())
	case strings.HasPrefix(e.AccessKey, "LTAI"):
		return schemas.KeyAuth
	case r.kind.Is("ConsoleOperation"), isConsole(e.UserAgent), e.AccessKey == "" && session.Within("attributes").Present():
		return field.Console(session.Within("attributes", "mfaAuthenticated").True())
	case strings.HasPrefix(e.AccessKey, "STS."):
		return schemas.TemporaryAuth
	}
	return schemas.UnknownAuth
}

// isConsole tells the agent of the console.
func isConsole(agent string) bool {
	const console = "AliyunConsole"
	return len(agent) >= len(console) && strings.EqualFold(agent[:len(console)], console)
}

// requestOf returns the request's parameters: the object, or what is the same as JSON text where there is no object.
func (r *record) requestOf() string {
	if json, ok := r.request.Object(); ok {
		return json
	}
	for _, v := range []field.Value{r.request, r.requestText} {
		if json, ok := field.Wrapped(v); ok && strings.HasPrefix(json, "{") {
			return json
		}
	}
	return ""
}
