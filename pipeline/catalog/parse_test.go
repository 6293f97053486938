package catalog

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func ExampleCatalog_Extend() {
	c, err := Default().Extend(`
# A service of our own.
policy core vault.example.com GrantAccess
# Here everybody makes keys.
policy none iam.amazonaws.com CreateAccessKey
password adjacent iam.amazonaws.com CreateAccessKey`)
	fmt.Println(err, words(c.Classify("vault.example.com", "grantaccess", "")))
	fmt.Println(words(c.Classify("iam.amazonaws.com", "CreateAccessKey", "")))
	_, err = c.Extend("policy core iam.amazonaws.com CreateUser\npolicy certain iam.amazonaws.com CreateRole\n")
	fmt.Println(err)
	// Output:
	// <nil> policy core
	// password adjacent
	// line 2: unknown tier "certain": there are core, adjacent, indirect and none, for trails also restores
}

func TestExtend(t *testing.T) {
	for _, c := range []struct{ name, file, service, call, request, want string }{
		{"an operation more", "trail core x A", "x", "A", "", "trail core"},
		{"a tier raised", "trail core S3.amazonaws.com deletebucket", "s3.amazonaws.com", "DeleteBucket", "", "trail core"},
		{"a tier lowered", "policy indirect s3.amazonaws.com PutBucketPolicy", "s3.amazonaws.com", "PutBucketPolicy", "",
			"policy indirect, trail indirect"},
		{"removed", "policy none s3.amazonaws.com PutBucketPolicy", "s3.amazonaws.com", "PutBucketPolicy", "", "trail indirect"},
		{"restores no more", "trail none Actiontrail StartLogging", "Actiontrail", "StartLogging", "", ""},
		{"restores", "trail restores x A", "x", "A", "", "restores"},
		{"a condition dropped", "password core rds.amazonaws.com ModifyDBInstance", "rds.amazonaws.com", "ModifyDBInstance", "",
			"password core"},
		{"a condition added", "policy core iam.amazonaws.com CreateUser?path=/admin/", "iam.amazonaws.com", "CreateUser",
			`{"path":"/"}`, ""},
		{"two conditions", "policy core x A?p=1 A?q", "x", "A", `{"q":{}}`, "policy core"},
		{"of two tiers the higher", "policy core x A?p\npolicy adjacent x A", "x", "A", `{"p":1}`, "policy core"},
		{"unix and windows lines, a byte order mark", "\ufeff# x\r\npolicy core x A\r\n\r\n", "x", "A", "", "policy core"},
		{"nothing", "", "iam.amazonaws.com", "CreateUser", "", "policy adjacent"},
		{"removing what is not there", "policy none x A", "x", "A", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			extended, err := Default().Extend(c.file)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, extended, c.service, c.call, c.request, c.want)
			expect(t, extended, "iam.amazonaws.com", "AttachUserPolicy", "", "policy core")
		})
	}
	expect(t, Default(), "s3.amazonaws.com", "PutBucketPolicy", "", "policy core, trail indirect") // still
}

func TestExtendRefuses(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"unknown class", "\nsecret core x A", `line 2: unknown class "secret": there are policy, password and trail`},
		{"unknown tier", "policy high x A", `line 1: unknown tier "high"`},
		{"restoring a password", "password restores x A", "line 1: only operations of the class trail can be restores"},
		{"no name", "# x\n\npolicy core x", "line 3: a line is CLASS TIER SERVICE NAME…"},
		{"a class alone", "policy", "line 1: a line is CLASS"},
		{"no parameter", "policy core x A?", `line 1: "A?" is none of NAME`},
		{"no value", "policy core x A?p=", `line 1: "A?p=" is none of`},
		{"too deep", "policy core x A?a.b.c", `is none of`},
		{"no operation", "policy core x ?p", `is none of`},
		{"an API version", "policy core x A20150331v2", "leave out the API version"},
		{"twice", "policy core x A\npolicy adjacent X a", "line 2: a of X stands in class policy already, in line 1"},
		{"twice in a line", "policy core x A A", "line 1: A of x stands in class policy already, in line 1"},
		{"a condition twice", "policy core x A?P=q A?p=Q", "A?p=Q of x stands"},
		{"not ASCII", "policy core x Ä", "letters, digits and signs of ASCII"},
		{"a terminal's escape", "policy core x \x1b]0;t\x07", `"\x1b]0;t\a"`},
		{"no text", "\x00\x01", "ASCII"},
		{"a long word", "policy core x " + strings.Repeat("A", maxWord+1), "a word of 129 bytes: at most 128"},
		{"a long line", "#" + strings.Repeat(" ", maxLine), "4097 bytes long: at most 4096"},
		{"many lines", strings.Repeat("\n", maxLines+1), "line 20001: at most 20000 lines"},
		{"a large file", strings.Repeat("#", MaxFile+1), "at most 4194304 are possible"},
		{"many operations", manyNames(maxRules + 1), "at most 50000 operations are possible"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Default().Extend(c.file)
			if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		if i%100 == 0 {
			b.WriteString("\npolicy core x")
		}
		fmt.Fprintf(&b, " A%d", i)
	}
	return b.String()
}

// The version is that of what is said, and not of how.
func TestVersion(t *testing.T) {
	extend := func(file string) string {
		c, err := Default().Extend(file)
		if err != nil {
			t.Fatal(err)
		}
		return c.Version()
	}
	for _, same := range []string{"", "# x", "policy core IAM.amazonaws.com attachUSERpolicy", "policy none x A"} {
		if got := extend(same); got != Default().Version() {
			t.Errorf("%q makes it version %s, though it says the same as %s", same, got, Default().Version())
		}
	}
	seen := map[string]string{Default().Version(): "the standard one"}
	for _, other := range []string{"policy core x A", "policy core x B", "policy adjacent x A", "trail core x A",
		"trail restores x A", "policy core x A?p", "policy core x A?p=1", "policy none iam.amazonaws.com CreateUser"} {
		v := extend(other)
		if before, ok := seen[v]; ok {
			t.Errorf("%q and %s have the same version %s", other, before, v)
		}
		seen[v] = other
	}
	if a, b := extend("policy core x A B"), extend("policy core x B\npolicy core x A"); a != b {
		t.Errorf("the order of lines makes versions %s and %s", a, b)
	}
}

// Whatever the file, it is refused or means the same when it is written anew.
func FuzzExtend(f *testing.F) {
	for _, s := range []string{"", "policy core x A?b.c=d",
		"trail restores x A B\n#\n", "policy none iam.amazonaws.com CreateUser"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		c, err := new(Catalog).Extend(file)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "line ") && len(file) <= MaxFile {
				t.Errorf("%q: error %q names no line", file, err)
			}
			return
		}
		var again strings.Builder
		for _, r := range c.rules {
			fmt.Fprintln(&again, r)
		}
		same, err := new(Catalog).Extend(again.String())
		if err != nil || same.Version() != c.Version() {
			t.Errorf("%q is written as %q, which is refused (%v) or says something else", file, &again, err)
		}
		for _, r := range c.rules {
			if r.condition == (condition{}) && c.Classify(r.service, r.name, "") == 0 {
				t.Errorf("%q: %s is not found", file, r)
			}
		}
	})
}

// The example of the page works, and does what its comments say.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/catalogue.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```text\n")
	example, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatal("the page has no example")
	}
	c, err := Default().Extend(example)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, c, "vault.example.com", "GrantAccess", "", "policy core")
	expect(t, c, "iam.amazonaws.com", "CreateUser", "", "")
	expect(t, c, "iam.amazonaws.com", "CreateLoginProfile", "", "password core")
	expect(t, c, "cognito-idp.amazonaws.com", "AdminSetUserPassword", "", "password adjacent")
	expect(t, c, "s3.amazonaws.com", "PutBucketLifecycle", `{"bucketName":"trail-bucket-example"}`, "trail core")
	expect(t, c, "s3.amazonaws.com", "PutBucketLifecycle", `{"bucketName":"other"}`, "")
	for _, bound := range []string{"4 KiB", "128 bytes", "20,000 lines", "50,000 operations"} {
		if !strings.Contains(string(page), bound) {
			t.Errorf("the page does not say %q", bound)
		}
	}
}
