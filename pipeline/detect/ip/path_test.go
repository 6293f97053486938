package ip

import (
	"testing"

	"github.com/trailvane/trailvane/pipeline/address"
)

// FuzzPath: no text and no address makes trouble, and the levels of a path are of 40 bits.
func FuzzPath(f *testing.F) {
	f.Add("1.2.3.4", "AS64500 Net", "DE")
	f.Add("2a00::1", "", "")
	f.Fuzz(func(t *testing.T, text, asn, country string) {
		denied(text)
		family(text)
		a, ok := address.Parse(text)
		if !ok {
			return
		}
		for _, p := range pathOf(a, asn, country) {
			if p > fingerprintMask {
				t.Errorf("%q: fingerprint %x", text, p)
			}
		}
	})
}

func TestDenied(t *testing.T) {
	for code, want := range map[string]bool{
		"AccessDenied": true, "Client.UnauthorizedOperation": true, "Forbidden.RAM": true, "NoPermission": true, "Forbbiden": true,
		"InvalidAccessKeyId.NotFound": true, "SignatureDoesNotMatch": true, "AccessDeniedException": true, "AuthFailure": true,
		"": false, "NoSuchBucket": false, "Throttling": false, "ValidationError": false,
	} {
		if denied(code) != want {
			t.Errorf("denied(%q) is %v", code, !want)
		}
	}
}

func TestFamily(t *testing.T) {
	for agent, want := range map[string]string{
		"aws-cli/2.15.0 Python/3.11": "aws-cli", "Boto3/1.26 md/Botocore": "Boto3", "console.amazonaws.com": "console.amazonaws.com",
		"AlibabaCloud (Linux; amd64)": "AlibabaCloud", "": "", "/": "/",
	} {
		if got := family(agent); got != want {
			t.Errorf("family(%q) is %q, want %q", agent, got, want)
		}
	}
}
