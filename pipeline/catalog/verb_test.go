package catalog

import "testing"

// The documented table: verbs by their share of Read and List access level among 21,190 AWS actions.
func TestWritesByVerb(t *testing.T) {
	for _, c := range []struct {
		why    string
		writes bool
		names  []string
	}{
		{"100 %", false, []string{"ListUsers", "DescribeInstances", "QueryObjects"}},
		{"99 %", false, []string{"SearchProducts"}},
		{"98 %", false, []string{"GetObject", "GetPasswordData"}},
		{"92 % and 88 %", false, []string{"DetectFaces", "CheckCapacity"}},
		{"rarer reads", false, []string{"LookupEvents", "HeadBucket", "ScanTable", "SelectObjectContent", "ViewBilling",
			"DownloadDBLogFilePortion", "PreviewAgents", "EstimateTemplateCost"}},
		{"batches of reads", false, []string{"BatchGetImage", "BatchDescribeMergeConflicts", "BatchCheckLayerAvailability"}},
		{"ambiguous: taken for writes", true, []string{"ValidatePolicy", "InvokeFunction", "BatchWriteItem", "BatchDelete",
			"ExportTable", "TestRole", "GenerateDataKey", "AdminGetUser", "VerifyEmailIdentity"}},
		{"writes", true, []string{"CreateUser", "DeleteTrail", "PutBucketPolicy", "StopLogging", "RunInstances", "TerminateInstances",
			"AssumeRoleFoo", "Decrypt"}},
		{"sign-ins", true, []string{"ConsoleLogin", "ConsoleSignin"}},
		{"case does not matter", false, []string{"listBuckets", "GETObject", "getobject", "LISTUSERS"}},
		{"a verb is a word", true, []string{"Checkout", "CheckoutLicense", "Listen", "GetawayCreate", "Viewport", "Headline", "Selector"}},
		{"a verb alone", false, []string{"Get", "Query", "Scan", "get"}},
		{"no name", true, []string{"", "7", "é", "_List", "Li"}},
		{"an API version behind", false, []string{"ListFunctions20150331", "GetFunction20150331v2"}},
	} {
		for _, name := range c.names {
			if got := Writes("any", name); got != c.writes {
				t.Errorf("Writes(%q) = %v, want %v: %s", name, got, c.writes, c.why)
			}
		}
	}
}

func TestWritesExceptions(t *testing.T) {
	for _, c := range []struct {
		service, name string
		want          bool
	}{
		{"sts.amazonaws.com", "AssumeRole", false},
		{"sts.amazonaws.com", "GetFederationToken", true},
		{"STS.amazonaws.com", "getfederationtoken", true},
		{"other.amazonaws.com", "GetFederationToken", false},
		{"other.amazonaws.com", "AssumeRole", true},
		{"redshift.amazonaws.com", "GetClusterCredentials", true},
		{"redshift.amazonaws.com", "GetClusterCredentials20260101", true},
		{"lightsail.amazonaws.com", "GetInstanceAccessDetails", true},
		{"lakeformation.amazonaws.com", "GetDataAccess", true},
		{"sts.amazonaws.com", "GetWebIdentityToken", true},
		{"sts.amazonaws.com", "GetCallerIdentity", false},
	} {
		if got := Writes(c.service, c.name); got != c.want {
			t.Errorf("Writes(%q, %q) = %v, want %v", c.service, c.name, got, c.want)
		}
	}
}

func TestBaseName(t *testing.T) {
	for name, want := range map[string]string{
		"AddPermission20150331v2":               "AddPermission",
		"CreateFunction20150331":                "CreateFunction",
		"UpdateFunctionConfiguration20150331v2": "UpdateFunctionConfiguration",
		"AddPermissionPolicyToAccessConfig":     "AddPermissionPolicyToAccessConfig",
		"ListObjectsV2":                         "ListObjectsV2",
		"Move":                                  "Move",
		"v2":                                    "v2",
		"":                                      "",
		"20150331":                              "20150331",
		"CreateStreamv20150331":                 "CreateStreamv20150331",
		"DescribeDBInstances2015":               "DescribeDBInstances2015",
		"GetDistribution2020_05_31":             "GetDistribution2020_05_31",
		"InvokeFunction20150331v":               "InvokeFunction20150331v",
		"UpdateFunctionCode20150331v22":         "UpdateFunctionCode",
	} {
		if got := BaseName(name); got != want {
			t.Errorf("BaseName(%q) = %q, want %q", name, got, want)
		}
	}
}

func BenchmarkWrites(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Writes("ec2.amazonaws.com", "TerminateInstances")
	}
}
