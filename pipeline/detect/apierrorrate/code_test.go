package apierrorrate

import (
	"strings"
	"testing"
)

func TestAppendCode(t *testing.T) {
	for code, want := range map[string]string{
		"AccessDenied":                      "AccessDenied",
		"Client.InvalidInstanceID.NotFound": "Client.InvalidInstanceID.NotFound",
		"InvalidParameter.12345":            "InvalidParameter",
		"InvalidParameter.12345.Format":     "InvalidParameter.Format",
		"Error.500":                         "Error.500",
		"HTTP404":                           "HTTP404",
		"Error20260105":                     "Error",
		"S3ServiceException":                "S3ServiceException",
		"EC2.Throttling":                    "EC2.Throttling",
		"Failed:3f2504e0-4f89-11d3-9a0c-0305e82c3301":   "Failed",
		"Failed (aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee)": "Failed",
		"NotFound_0A1B2C3D4E5F":                         "NotFound",
		"Deadbeef":                                      "Deadbeef",
		"Request.XK3J9Q27ZPL40TWV.Rejected":             "Request.Rejected",
		"a/b c":                                         "a_b_c",
		"..Odd..":                                       "Odd",
		"404":                                           "404",
		"10004":                                         "number",
		"\x00\xff":                                      "number",
		"__other":                                       "other",
		strings.Repeat("Long", 40):                      strings.Repeat("Long", 16),
	} {
		if got := string(appendCode(nil, code)); got != want {
			t.Errorf("%q is %q, want %q", code, got, want)
		}
	}
}

// Whatever a record says, a code can be part of a key.
func FuzzAppendCode(f *testing.F) {
	f.Add("InvalidParameter.12345")
	f.Add("3f2504e0-4f89-11d3-9a0c-0305e82c3301/\n")
	f.Fuzz(func(t *testing.T, code string) {
		got := string(appendCode([]byte("key/"), code))
		if got, ok := strings.CutPrefix(got, "key/"); !ok || got == "" || len(got) > maxCode || strings.ContainsAny(got, "/ \n\x00") {
			t.Errorf("%q is %q", code, got)
		}
	})
}
