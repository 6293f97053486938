package catalog

import "testing"

func TestClassOf(t *testing.T) {
	for code, want := range map[string]ErrorClass{
		"AccessDenied":                           DeniedError,
		"AccessDeniedException":                  DeniedError,
		"KMSAccessDeniedException":               DeniedError,
		"Client.UnauthorizedOperation":           DeniedError,
		"UnauthorizedOperation":                  DeniedError,
		"Forbidden.RAM":                          DeniedError,
		"Forbbiden":                              DeniedError,
		"AccessForbidden":                        DeniedError,
		"NoPermission":                           DeniedError,
		"NotAuthorized":                          DeniedError,
		"NotAuthorizedException":                 DeniedError,
		"InvalidAccessKeyId.NotFound":            DeniedError,
		"InvalidSecurityToken.Expired":           DeniedError,
		"SignatureDoesNotMatch":                  DeniedError,
		"InvalidAuthorization":                   DeniedError,
		"Throttling":                             ThrottledError,
		"Throttling.User":                        ThrottledError,
		"ThrottlingException":                    ThrottledError,
		"ThrottledException":                     ThrottledError,
		"Client.RequestLimitExceeded":            ThrottledError,
		"RequestLimitExceeded":                   ThrottledError,
		"TooManyRequestsException":               ThrottledError,
		"SlowDown":                               ThrottledError,
		"ProvisionedThroughputExceededException": ThrottledError,
		"":                                       OtherError,
		"NoSuchBucket":                           OtherError,
		"InvalidParameter":                       OtherError,
		"InstanceLimitExceeded":                  OtherError,
		"InvalidInstanceID.NotFound":             OtherError,
	} {
		if got := ClassOf(code); got != want {
			t.Errorf("%q is %d, want %d", code, got, want)
		}
	}
}
