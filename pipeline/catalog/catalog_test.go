package catalog

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

func Example() {
	c := Default()
	for _, call := range [][3]string{
		{"iam.amazonaws.com", "AttachUserPolicy", ""},
		{"lambda.amazonaws.com", "AddPermission20150331v2", ""},
		{"s3.amazonaws.com", "PutBucketPolicy", ""},
		{"rds.amazonaws.com", "ModifyDBInstance", `{"dBInstanceIdentifier":"db","masterUserPassword":"****"}`},
		{"rds.amazonaws.com", "ModifyDBInstance", `{"dBInstanceIdentifier":"db"}`},
	} {
		s := c.Classify(call[0], call[1], call[2])
		fmt.Println(call[1], "policy:", s.Tier(schemas.PolicyClass), "password:", s.Tier(schemas.PasswordClass),
			"trail:", s.Tier(schemas.TrailClass))
	}
	// Output:
	// AttachUserPolicy policy: core password: none trail: none
	// AddPermission20150331v2 policy: core password: none trail: none
	// PutBucketPolicy policy: core password: none trail: indirect
	// ModifyDBInstance policy: none password: adjacent trail: none
	// ModifyDBInstance policy: none password: none trail: none
}

// words says what s is: "policy core, trail indirect".
func words(s schemas.Sensitive) string {
	var parts []string
	for c := schemas.PolicyClass; c <= schemas.TrailClass; c++ {
		if t := s.Tier(c); t != schemas.NoTier {
			parts = append(parts, c.String()+" "+t.String())
		}
	}
	if s&schemas.RestoresTrail != 0 {
		parts = append(parts, "restores")
	}
	return strings.Join(parts, ", ")
}

func expect(t *testing.T, c *Catalog, service, name, request, want string) {
	t.Helper()
	if got := words(c.Classify(service, name, request)); got != want {
		t.Errorf("%s %s %s is %q, want %q", service, name, request, got, want)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct{ service, name, request, want string }{
		{"iam.amazonaws.com", "AttachRolePolicy", "", "policy core"},
		{"IAM.AmazonAWS.com", "attachROLEpolicy", "", "policy core"},
		{"iam.amazonaws.com", "CreateAccessKey", "", "policy adjacent"},
		{"iam.amazonaws.com", "CreateLoginProfile", "", "password core"},
		{"iam.amazonaws.com", "DeleteAccountPasswordPolicy", "", "password adjacent"},
		{"signin.amazonaws.com", "PasswordUpdated", "", "password core"},
		{"signin.amazonaws.com", "ConsoleLogin", "", ""},
		{"organizations.amazonaws.com", "AttachPolicy", "", "policy core"},
		{"iot.amazonaws.com", "AttachPolicy", "", "policy adjacent"},
		{"cloudtrail.amazonaws.com", "StopLogging", "", "trail core"},
		{"cloudtrail.amazonaws.com", "PutResourcePolicy", "", "policy adjacent, trail adjacent"},
		{"cloudtrail.amazonaws.com", "StartLogging", "", "restores"},
		{"s3.amazonaws.com", "PutObjectAcl", "", "policy adjacent"},
		{"logs.amazonaws.com", "PutResourcePolicy", "", "policy adjacent"},

		{"Ram", "AttachPolicyToUser", "", "policy core"},
		{"ram", "ATTACHPOLICYTOUSER", "", "policy core"},
		{"Oss", "PutBucketACL", "", "policy core"},
		{"ActionTrail", "StopLogging", "", "trail core"},
		{"Actiontrail", "UpdateTrail", "", "trail adjacent"},
		{"Actiontrail", "CreateTrail", "", "restores"},
		{"Kms", "PutSecretValue", "", "password core"},
		{"Kms", "DeleteSecret", "", "password indirect"},
		{"AasSub", "ChangePassword", "", "password core"},
		{"AasCustomer", "ConsoleSignin", "", ""},

		// The pair counts, not the name.
		{"ec2.amazonaws.com", "StopLogging", "", ""},
		{"example.amazonaws.com", "AttachUserPolicy", "", ""},
		{"Ecs", "CreatePolicy", "", ""},
		{"iam.amazonaws.comA", "ttachUserPolicy", "", ""},
		{"", "", "", ""},

		// An API version behind the name does not, but a longer name is another one.
		{"lambda.amazonaws.com", "AddPermission20150331v2", "", "policy core"},
		{"lambda.amazonaws.com", "RemovePermission20150331", "", "policy core"},
		{"lambda.amazonaws.com", "AddPermissionPolicyToAccessConfiguration", "", ""},

		// Parameters decide.
		{"rds.amazonaws.com", "ModifyDBCluster", `{"MasterUserPassword":"****"}`, "password adjacent"},
		{"rds.amazonaws.com", "ModifyDBCluster", `{"masterUserPassword":null}`, ""},
		{"rds.amazonaws.com", "ModifyDBInstance", `{"other":"masterUserPassword"}`, ""},
		{"rds.amazonaws.com", "ModifyDBInstance", ``, ""},
		{"rds.amazonaws.com", "ModifyDBInstance", `{"masterUserPassword":"x`, ""},
		{"sns.amazonaws.com", "SetTopicAttributes", `{"attributeName":"Policy","attributeValue":"{}"}`, "policy adjacent"},
		{"sns.amazonaws.com", "SetTopicAttributes", `{"attributeName":"DisplayName","attributeValue":"Policy"}`, ""},
		{"sns.amazonaws.com", "SetTopicAttributes", `{"attributeName":["Policy"]}`, ""},
		{"sqs.amazonaws.com", "SetQueueAttributes", `{"queueUrl":"x","attributes":{"Policy":"{}"}}`, "policy adjacent"},
		{"sqs.amazonaws.com", "SetQueueAttributes", `{"attributes":{"DelaySeconds":"1"},"Policy":"{}"}`, ""},
		{"sqs.amazonaws.com", "SetQueueAttributes", `{"attributes":"Policy"}`, ""},
		{"Ram", "DetachPolicyFromRole", `{"PolicyName":"AliyunActionTrailDeliveryPolicy"}`, "policy core, trail indirect"},
		{"Ram", "DetachPolicyFromRole", `{"PolicyName":"Other"}`, "policy core"},
		{"Ram", "DeleteRole", `{"roleName":"aliyunserviceroleforactiontrail"}`, "policy adjacent, trail indirect"},
	} {
		expect(t, Default(), c.service, c.name, c.request, c.want)
	}
}

// Names that only look the part.
func TestFalseFriends(t *testing.T) {
	for _, c := range []struct{ service, name string }{
		{"backup.amazonaws.com", "UpdateBackupPolicy"}, {"elasticfilesystem.amazonaws.com", "PutBackupPolicy"},
		{"Ecs", "ApplyAutoSnapshotPolicy"}, {"ecr.amazonaws.com", "PutLifecyclePolicy"}, {"dlm.amazonaws.com", "CreateLifecyclePolicy"},
		{"s3.amazonaws.com", "PutBucketLifecycle"}, {"Oss", "PutBucketLifecycle"}, {"autoscaling.amazonaws.com", "PutScalingPolicy"},
		{"route53.amazonaws.com", "CreateTrafficPolicy"}, {"transfer.amazonaws.com", "UpdateSecurityPolicy"},
		{"logs.amazonaws.com", "PutRetentionPolicy"}, {"iam.amazonaws.com", "UpdateAccountPasswordPolicy"},
		{"Ram", "SetPasswordPolicy"}, {"cloudformation.amazonaws.com", "SetStackPolicy"}, {"Ecs", "ModifySecurityGroupPolicy"},
		{"Rds", "ModifySQLCollectorPolicy"}, {"Kms", "UpdateSecretRotationPolicy"}, {"glacier.amazonaws.com", "SetDataRetrievalPolicy"},
		{"waf.amazonaws.com", "CreateWebACL"}, {"waf.amazonaws.com", "UpdateWebACL"}, {"codestar.amazonaws.com", "CreateProject"},
		{"ec2.amazonaws.com", "AttachResourcesToPlacementGroup"}, {"xray.amazonaws.com", "PutEncryptionConfig"},
		{"s3.amazonaws.com", "AllowVendedLogDeliveryForResource"}, {"cognito-idp.amazonaws.com", "AdminSetUserPassword"},
	} {
		s := Default().Classify(c.service, c.name, "")
		if s.Tier(schemas.PolicyClass) != schemas.NoTier {
			t.Errorf("%s %s counts as a change of rights: %s", c.service, c.name, words(s))
		}
	}
	for _, name := range []string{"ConsoleSignin", "ConsoleSignout", "AccountReg"} {
		for _, service := range []string{"AasCustomer", "AasSub"} {
			expect(t, Default(), service, name, "", "")
		}
	}
}

// The list of AWS actions that change permissions holds reads, which are none of ours, and nearly all that we have.
func TestReference(t *testing.T) {
	known, c := 0, Default()
	for _, line := range lines(t, "reference/aws-permission-actions.txt") {
		prefix, name, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		s := c.Classify(prefix+".amazonaws.com", name, "")
		if !Writes(prefix+".amazonaws.com", name) && s != 0 {
			t.Errorf("%s reads, and is %s", line, words(s))
		}
		if s.Tier(schemas.PolicyClass) != schemas.NoTier {
			known++
		}
	}
	if known < 80 {
		t.Errorf("%d actions of the list are in the catalogue, want 80 at least: is the list read?", known)
	}
}

// The names that Alibaba's own alert rules watch.
func TestAlibabaRules(t *testing.T) {
	want := map[string]string{ // rule, or rule and name
		"cis_at_trail_off": "trail core", "cis_at_ram_auth_change": "policy core", "cis_at_ram_policy_change": "policy core",
		"cis_at_password_reset": "password core", "cis_at_password_change": "password adjacent",

		"cis_at_oss_policy_change PutBucketPolicy":         "policy core",
		"cis_at_oss_policy_change DeleteBucketPolicy":      "policy core",
		"cis_at_oss_policy_change PutBucketCors":           "policy adjacent",
		"cis_at_oss_policy_change DeleteBucketCors":        "policy adjacent",
		"cis_at_oss_policy_change PutBucketReplication":    "policy adjacent",
		"cis_at_oss_policy_change DeleteBucketReplication": "policy adjacent",
		// Their rule watches the settings of a bucket; these three change no right.
		"cis_at_oss_policy_change PutBucketLifecycle":     "trail indirect",
		"cis_at_oss_policy_change DeleteBucketLifecycle":  "",
		"cis_at_oss_policy_change PutBucketEncryption":    "",
		"cis_at_oss_policy_change DeleteBucketEncryption": "",
	}
	var rules []struct {
		ID           string
		EventNames   []string
		ServiceNames []string
	}
	facts := strings.Join(lines(t, "alibaba-actiontrail-alert-rules/rule_facts.json"), "\n")
	if err := json.Unmarshal([]byte(facts), &rules); err != nil {
		t.Fatal(err)
	}
	met := 0
	for _, r := range rules {
		for _, name := range r.EventNames {
			w, ok := want[r.ID]
			if !ok {
				if w, ok = want[r.ID+" "+name]; !ok {
					continue
				}
			}
			for _, service := range r.ServiceNames {
				if r.ID == "cis_at_ram_auth_change" && (service == "Ram") == (name == "AttachPolicy" || name == "DetachPolicy") {
					continue // the rule names these of ResourceManager, all others of Ram
				}
				met++
				expect(t, Default(), service, name, "", w)
			}
		}
	}
	if met < 30 {
		t.Errorf("%d operations met, want 30 at least: are the rules read?", met)
	}
}

// The operations of hand-written test cases of public rules, whoever their actor is.
func TestPantherRules(t *testing.T) {
	want := map[string]string{
		"AttachUserPolicy": "policy core", "AttachRolePolicy": "policy core", "PutUserPolicy": "policy core",
		"UpdateAssumeRolePolicy": "policy core", "PutBucketPolicy": "policy core, trail indirect",
		"UpdateLoginProfile": "password core", "ChangePassword": "password core", "PasswordUpdated": "password core",
		"StopLogging": "trail core", "DeleteTrail": "trail core", "PutEventSelectors": "trail core", "UpdateTrail": "trail core",
	}
	met, c := make(map[string]int), Default()
	for _, line := range lines(t, "panther-analysis/cloudtrail_rule_tests.jsonl") {
		var test struct {
			Event struct {
				EventSource, EventName string
				RequestParameters      json.RawMessage
			}
		}
		if json.Unmarshal([]byte(line), &test) != nil || test.Event.EventSource == "" {
			continue
		}
		e := test.Event
		got := words(c.Classify(e.EventSource, e.EventName, string(e.RequestParameters)))
		w, ok := want[e.EventName]
		if e.EventName == "ModifyDBInstance" {
			if ok = true; strings.Contains(string(e.RequestParameters), "masterUserPassword") {
				w = "password adjacent"
			}
		}
		if !ok {
			continue
		}
		met[e.EventName]++
		if got != w {
			t.Errorf("%s %s is %q, want %q", e.EventSource, e.EventName, got, w)
		}
	}
	for name := range want {
		if met[name] == 0 {
			t.Errorf("there is no test of %s", name)
		}
	}
}

// lines returns the lines of a file of the public data.
func lines(t *testing.T, name string) (all []string) {
	t.Helper()
	root := os.Getenv("TRAILVANE_DATA")
	if root == "" {
		t.Skip("SKIP: no TRAILVANE_DATA")
	}
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		all = append(all, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestClassifyAllocatesNothing(t *testing.T) {
	c := Default()
	request := `{"attributes":{"Policy":"{}"}}`
	if n := testing.AllocsPerRun(100, func() {
		c.Classify("ec2.amazonaws.com", "RunInstances", request)
		c.Classify("lambda.amazonaws.com", "AddPermission20150331v2", request)
		c.Classify("sqs.amazonaws.com", "SetQueueAttributes", request)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// What is hashed alike is told apart.
func TestHashIsNoProof(t *testing.T) {
	c, err := new(Catalog).Extend("policy core a{ b{\n")
	if err != nil {
		t.Fatal(err)
	}
	if hash("a[", "b[") != hash("a{", "b{") {
		t.Fatal("the hashes differ; this test needs another pair")
	}
	expect(t, c, "a{", "b{", "", "policy core")
	expect(t, c, "a[", "b[", "", "")
}

func BenchmarkDefault(b *testing.B) {
	for b.Loop() {
		Default()
	}
}

func BenchmarkClassify(b *testing.B) {
	c := Default()
	request := `{"instances":"` + strings.Repeat("i-0123456789abcdef0 ", 25) + `"}`
	for _, call := range []struct{ what, service, name string }{
		{"not sensitive", "ec2.amazonaws.com", "TerminateInstances"},
		{"not sensitive, long", "elasticloadbalancing.amazonaws.com", "RegisterInstancesWithLoadBalancer"},
		{"versioned", "lambda.amazonaws.com", "UpdateFunctionConfiguration20150331v2"},
		{"sensitive", "iam.amazonaws.com", "AttachUserPolicy"},
		{"by parameter", "rds.amazonaws.com", "ModifyDBInstance"},
	} {
		b.Run(call.what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Classify(call.service, call.name, request)
			}
		})
	}
}
