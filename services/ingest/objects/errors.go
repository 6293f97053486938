package objects

import (
	"context"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

// elsewhere returns the region that a bucket is in, if an error says that it is in another one than was thought.
func elsewhere(err error) string {
	r := minio.ToErrorResponse(err)
	if r.StatusCode == http.StatusMovedPermanently || r.StatusCode == http.StatusTemporaryRedirect ||
		r.Code == minio.AuthorizationHeaderMalformed || r.Code == minio.InvalidRegion {
		return r.Region
	}
	return ""
}

// explain says what could not be done, why, and what to do. It wraps ErrUnreadable if that is about one object.
func (s *store) explain(ctx context.Context, what, key string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r := minio.ToErrorResponse(err)
	advice, unreadable := "", false
	switch r.Code {
	case minio.NoSuchBucket:
		advice, unreadable = "there is no such bucket at "+s.endpoint()+"; is the name right, and the region?", !s.config.Followed
	case minio.NoSuchKey, "NoSuchVersion", "MethodNotAllowed":
		advice, unreadable = "it is gone", true
	case minio.PreconditionFailed:
		advice, unreadable = "it was replaced after it was listed", true
	case minio.AccessDenied, "AllAccessDisabled":
		// Who follows and has never read anything has forgotten a permission: nothing is given up for that.
		advice, unreadable = s.permission(what), !s.config.Followed || s.read.Load()
	case "InvalidObjectState":
		advice, unreadable = "it is archived; restore it, or move it out of the folder", true
	case "InvalidRequest", "InvalidArgument":
		advice, unreadable = "encryption with a key of the customer's own (SSE-C) is not supported", true
	case minio.InvalidAccessKeyID, minio.SignatureDoesNotMatch, "InvalidToken", "InvalidSecurity", "ExpiredToken",
		"InvalidSecurityToken", "SecurityTokenExpired":
		advice = "the store does not accept the credentials; " + s.where()
	case "RequestTimeTooSkewed":
		advice = "set the clock of this host"
	default:
		if region := elsewhere(err); region != "" {
			advice = "the bucket is in region " + region + "; use the endpoint of that"
		} else if r.Code == "" {
			advice = "is " + s.endpoint() + " right, and within reach?"
		}
	}
	if advice != "" {
		advice = "; " + advice
	}
	if unreadable && what == "read" {
		return fmt.Errorf("%w: %s: %w%s", ingest.ErrUnreadable, s.name(key), err, advice)
	}
	return fmt.Errorf("%s %s: %w%s", what, s.name(key), err, advice)
}

// permission says which right is missing.
func (s *store) permission(what string) string {
	const see = " (docs/formats.md, Object stores, has a policy)"
	if s.scheme == "oss" {
		if what == "list" {
			return "the RAM policy must allow oss:ListObjects on the bucket" + see
		}
		return "the RAM policy must allow oss:GetObject on its objects, and the use of their KMS key if they have one" + see
	}
	if what == "list" {
		return "the policy must allow s3:ListBucket on the bucket" + see
	}
	return "the policy must allow s3:GetObject on its objects, and kms:Decrypt with their key if they have one" + see
}
