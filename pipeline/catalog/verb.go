// Package catalog holds what is known about the operations of the clouds, as data.
//
// A [Catalog] knows which operations are sensitive: which change who may do what, how somebody signs in, or what is logged, and
// how surely. [Default] is what comes with the program, from operations.txt; a file of the same syntax extends it. Sources: the
// AWS service authorization reference, the API metadata and alert rules of Alibaba Cloud, public detection rules. That an
// operation exists is read there; its tier is our judgement. Names that only look the part are left out: backup, lifecycle,
// retention, scaling, traffic and TLS policies change nobody's rights.
//
// [Writes] says whether a call reads or writes, for records that do not say it themselves. The record's own flag always wins;
// this is the second evidence. Sources: the access levels of 21,190 actions in the AWS service authorization reference, and the
// verbs of the Alibaba Cloud APIs.
package catalog

import "strings"

// readVerbs are the verbs that start the names of reading calls, by share of Read or List access level among the AWS actions
// that start with them. What is not here writes: also Validate 75 %, Invoke 46 %, Batch 43 %, Export 39 %, Test 33 %,
// Generate 27 %, Admin 26 %, Verify 24 %, because a write taken for a read is not counted, and a read taken for a write
// only makes a baseline higher.
var readVerbs = []string{
	"List", "Describe", "Query", // 100 %
	"Search", // 99 %
	"Get",    // 98 %
	"Detect", // 92 %
	"Check",  // 88 %

	// Rarer ones, by meaning.
	"Lookup", "Head", "Scan", "Select", "View", "Download", "Preview", "Estimate",
	"BatchGet", "BatchDescribe", "BatchCheck",
}

// exceptions are calls whose verb misleads.
var exceptions = []struct {
	service, name string
	writes        bool
}{
	// Logged as reads, though they hand out credentials.
	{"sts.amazonaws.com", "AssumeRole", false},
	{"sts.amazonaws.com", "AssumeRoleWithSAML", false},
	{"sts.amazonaws.com", "AssumeRoleWithWebIdentity", false},
	// Logged as a write.
	{"sts.amazonaws.com", "GetFederationToken", true},
	// Access level Write in the service authorization reference.
	{"sts.amazonaws.com", "GetWebIdentityToken", true},
	{"redshift.amazonaws.com", "GetClusterCredentials", true},
	{"lightsail.amazonaws.com", "GetInstanceAccessDetails", true},
	{"lakeformation.amazonaws.com", "GetDataAccess", true},
}

// Writes says whether a call writes, judged by its name: for records without a flag. Services are spelled as in events
// ("ec2.amazonaws.com", "Ecs"); case does not matter.
func Writes(service, name string) bool {
	base := BaseName(name)
	for _, e := range exceptions {
		if strings.EqualFold(base, e.name) && strings.EqualFold(service, e.service) {
			return e.writes
		}
	}
	for _, verb := range readVerbs {
		if startsWithWord(name, verb) {
			return false
		}
	}
	return true
}

// BaseName returns the name without the API version that some AWS services append: "AddPermission20150331v2" is
// "AddPermission".
func BaseName(name string) string {
	end := len(name)
	if end == 0 || !allDigits(name[end-1:]) {
		return name // at once, because nearly all names end so
	}
	if i := strings.LastIndexByte(name, 'v'); i > 0 && i < end-1 && allDigits(name[i+1:]) {
		end = i
	}
	const date = 8 // yyyymmdd
	if end <= date || !allDigits(name[end-date:end]) {
		return name
	}
	return name[:end-date]
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// startsWithWord says whether name starts with the verb as a word of its own, whatever its case: "getObject" and "GETOBJECT"
// start with "Get", "Checkout" does not start with "Check". In a name without any upper case words cannot be told apart.
func startsWithWord(name, verb string) bool {
	if len(name) < len(verb) || !strings.EqualFold(name[:len(verb)], verb) {
		return false
	}
	if len(name) == len(verb) || !isLower(name[len(verb)]) {
		return true
	}
	return strings.ToLower(name) == name
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
