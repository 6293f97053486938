package catalog

import "strings"

// An ErrorClass says what kind of failure an error code tells.
type ErrorClass uint8

// The classes. Denied calls are what somebody tries who may not; throttled ones are what deployments cause.
const (
	OtherError ErrorClass = iota
	DeniedError
	ThrottledError
)

// Beginnings of error codes, in lower case. For AWS the common errors of its services and the codes of EC2 and S3; for Alibaba
// Cloud those that its own rules take for unauthorised calls, with the misspelt one, and the throttling codes of its APIs.
var (
	throttled = []string{"throttl", "toomanyrequests", "slowdown", "requestthrottled", "requestlimitexceeded", "rateexceeded",
		"bandwidthlimitexceeded", "provisionedthroughputexceeded", "priorrequestnotcomplete", "flowcontrol"}
	denied = []string{"accessdenied", "unauthorized", "forbidden", "forbbiden", "accessforbidden", "nopermission",
		"notauthorized", "invalidauthorization", "invalidaccesskeyid", "invalidsecuritytoken", "signaturedoesnotmatch",
		"authfailure", "invalidclienttokenid", "unrecognizedclient", "authorizationerror"}
)

// ClassOf returns the class of an error code as it is in a record: "Client.UnauthorizedOperation" is denied, "Throttling.User"
// throttled. Case does not matter.
func ClassOf(code string) ErrorClass {
	code = strings.ToLower(code)
	for _, side := range [...]string{"client.", "server."} { // EC2 says whose fault it was
		code = strings.TrimPrefix(code, side)
	}
	if strings.Contains(code, "requestlimitexceeded") || hasPrefix(code, throttled) {
		return ThrottledError
	}
	if hasPrefix(code, denied) || strings.HasSuffix(code, "accessdenied") || strings.HasSuffix(code, "accessdeniedexception") {
		return DeniedError
	}
	return OtherError
}

func hasPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
