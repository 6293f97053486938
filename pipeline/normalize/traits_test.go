package normalize_test

import (
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/schemas"
)

// Rows carry what the catalogue says, whom the call changes, and how the caller had signed in; nothing else of the request.
func TestTraits(t *testing.T) {
	own, err := catalog.Default().Extend("policy none iam.amazonaws.com CreateAccessKey\n" +
		"trail core ec2.amazonaws.com RunInstances\n")
	if err != nil {
		t.Fatal(err)
	}
	const (
		policy   = schemas.PolicyClass
		password = schemas.PasswordClass
		trail    = schemas.TrailClass
	)
	none := schemas.Sensitive(0)
	iam := func(name, request string, more ...string) string {
		return record(append([]string{"eventSource", `"iam.amazonaws.com"`, "eventName", `"` + name + `"`,
			"requestParameters", request}, more...)...)
	}
	for _, c := range []struct {
		name    string
		catalog *catalog.Catalog
		record  string
		want    schemas.Traits
	}{
		{"not sensitive", nil, record(), schemas.Traits{Auth: schemas.KeyAuth}},
		{"a policy for somebody", nil,
			iam("AttachUserPolicy", `{"userName":"bob","policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}`),
			schemas.Traits{Sensitive: none.With(policy, schemas.CoreTier), Target: schemas.OtherTarget, Auth: schemas.KeyAuth}},
		{"a policy for itself", nil, iam("PutUserPolicy", `{"userName":"ann","policyDocument":"{}"}`),
			schemas.Traits{Sensitive: none.With(policy, schemas.CoreTier), Target: schemas.SelfTarget, Auth: schemas.KeyAuth}},
		{"a password", nil, iam("UpdateLoginProfile", `{"userName":"bob"}`),
			schemas.Traits{Sensitive: none.With(password, schemas.CoreTier), Target: schemas.OtherTarget, Auth: schemas.KeyAuth}},
		{"a read by its flag", nil, iam("AttachUserPolicy", `{"userName":"bob"}`, "readOnly", "true"),
			schemas.Traits{Auth: schemas.KeyAuth}},
		{"a target of what is not sensitive", nil, iam("TagUser", `{"userName":"ann"}`), schemas.Traits{Auth: schemas.KeyAuth}},
		{"two classes", nil, record("eventSource", `"s3.amazonaws.com"`, "eventName", `"PutBucketPolicy"`,
			"requestParameters", `{"bucketName":"b"}`),
			schemas.Traits{Sensitive: none.With(policy, schemas.CoreTier).With(trail, schemas.IndirectTier),
				Target: schemas.OtherTarget, Auth: schemas.KeyAuth}},
		{"a trail is back", nil, record("eventSource", `"cloudtrail.amazonaws.com"`, "eventName", `"StartLogging"`,
			"requestParameters", `{"name":"t"}`),
			schemas.Traits{Sensitive: schemas.RestoresTrail, Target: schemas.OtherTarget, Auth: schemas.KeyAuth}},
		{"removed by one's own catalogue", own, iam("CreateAccessKey", `{"userName":"bob"}`), schemas.Traits{Auth: schemas.KeyAuth}},
		{"added by one's own catalogue", own, record(),
			schemas.Traits{Sensitive: none.With(trail, schemas.CoreTier), Auth: schemas.KeyAuth}},
	} {
		p := normalize.New(normalize.Config{Lane: 2, Partitions: 1, Decoders: decoders(), Catalog: c.catalog})
		got := apply(t, p, raw, chunk("", c.record))
		if len(got) != 1 || len(got[0].batch.Sections) != 1 {
			t.Fatalf("%s: %+v", c.name, got)
		}
		s := got[0].batch.Sections[0]
		if s.Rows[0].Traits != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, s.Rows[0].Traits, c.want)
		}
		if all := strings.Join(s.Strings, " "); strings.Contains(all, "bob") || strings.Contains(all, "arn:aws:iam::aws:") {
			t.Errorf("%s: something of the request goes on: %q", c.name, s.Strings)
		}
	}
}

// A store that was made with one catalogue is not gone on with another.
func TestConstantsNameTheCatalogue(t *testing.T) {
	other, err := catalog.Default().Extend("policy core x A\n")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := normalize.Constants(catalog.Default()), normalize.Constants(other); a == b {
		t.Errorf("both are %q", a)
	}
}
