package objects

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// roleTimeout bounds a question for the credentials of a role. Those who are asked are near, or not there.
const roleTimeout = 10 * time.Second

// requestTries is how often a request is made that the store, or the way to it, fails: about two seconds, for a passing overload.
const requestTries = 5

// connect returns a client. With a region, the bucket is known to be there.
func (s *store) connect(region string) (*minio.Core, error) {
	endpoint, usual, err := s.locate(region)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if region == "" {
		region = usual
	}
	client, err := minio.NewCore(u.Host, &minio.Options{
		Secure: u.Scheme == "https", Region: region, Creds: s.credentials(), MaxRetries: requestTries,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: endpoint %s: %w", s.name(""), endpoint, err)
	}
	return client, nil
}

// endpoint returns the URL of the store.
func (s *store) endpoint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client.EndpointURL().String()
}

// aliyun is the host of an endpoint of Alibaba Cloud, which names the region.
var aliyun = regexp.MustCompile(`^(?:s3\.)?oss-(.+?)(?:-internal)?\.aliyuncs\.com$`)

// locate returns the endpoint, and the region that requests to it are signed for; an empty one is asked for.
func (s *store) locate(region string) (endpoint, sign string, err error) {
	if region == "" {
		region = firstSet("AWS_REGION", "AWS_DEFAULT_REGION")
		if s.scheme == "oss" {
			region = firstSet("ALIBABA_CLOUD_REGION_ID", "OSS_REGION")
		}
	}
	endpoint = s.config.Endpoint
	if endpoint == "" && s.scheme == "s3" {
		endpoint = firstSet("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
	}
	switch {
	case endpoint != "":
		c := Config{Endpoint: endpoint}
		if err := c.check(); err != nil {
			return "", "", err
		}
		u, _ := url.Parse(endpoint) // was checked
		m := aliyun.FindStringSubmatch(u.Hostname())
		switch {
		case s3utils.IsAmazonEndpoint(*u), s3utils.IsGoogleEndpoint(*u):
			return endpoint, "", nil
		case m != nil:
			return endpoint, m[1], nil
		case region == "":
			region = "us-east-1" // what stores call the region where they have none
		}
		return endpoint, region, nil
	case s.scheme == "oss":
		region = strings.TrimPrefix(region, "oss-")
		if region == "" {
			return "", "", fmt.Errorf("%s: in which region is the bucket? Set ALIBABA_CLOUD_REGION_ID, as cn-hangzhou, "+
				"or name the endpoint (--object-endpoint)", s.name(""))
		}
		return "https://s3.oss-" + region + ".aliyuncs.com", region, nil
	case strings.HasPrefix(region, "cn-"):
		return "https://s3." + region + ".amazonaws.com.cn", region, nil
	case strings.HasPrefix(region, "us-gov-"):
		return "https://s3." + region + ".amazonaws.com", region, nil
	}
	return "https://s3.amazonaws.com", "", nil // each bucket's region is asked for
}

func firstSet(names ...string) string {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

func (s *store) credentials() *credentials.Credentials {
	switch {
	case s.config.Anonymous:
		return credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
	case s.scheme == "oss":
		return credentials.New(&chain{store: s, providers: []credentials.Provider{aliyunEnvironment{}}})
	}
	return credentials.New(&chain{store: s, providers: []credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: &http.Client{Timeout: roleTimeout}},
	}})
}

// where says where credentials are looked for.
func (s *store) where() string {
	if s.scheme == "oss" {
		return "they are taken from ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and, if it is set, ALIBABA_CLOUD_SECURITY_TOKEN"
	}
	return "they are taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile (AWS_PROFILE) in the shared files, " +
		"or the role of the host, container or pod"
}

// A chain asks providers one after the other. Unlike that of the library it says why there are no credentials, and never
// goes on without any.
type chain struct {
	store     *store
	providers []credentials.Provider
	from      credentials.Provider
}

// RetrieveWithCredContext returns the credentials of the first provider that has some.
func (c *chain) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	var failed error
	for _, p := range c.providers {
		v, err := p.RetrieveWithCredContext(cc)
		if err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "" {
			c.from = p
			return v, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	none := fmt.Errorf("there are no credentials; %s; --object-anonymous reads what everybody may", c.store.where())
	return credentials.Value{}, errors.Join(none, failed)
}

// Retrieve does the same.
func (c *chain) Retrieve() (credentials.Value, error) { return c.RetrieveWithCredContext(nil) }

// IsExpired reports whether new ones are needed.
func (c *chain) IsExpired() bool { return c.from == nil || c.from.IsExpired() }

// aliyunEnvironment has the credentials that Alibaba Cloud's tools take from the environment.
type aliyunEnvironment struct{}

// RetrieveWithCredContext returns them.
func (aliyunEnvironment) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return credentials.Value{
		AccessKeyID: os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		SessionToken: os.Getenv("ALIBABA_CLOUD_SECURITY_TOKEN"), SignerType: credentials.SignatureV4,
	}, nil
}

// Retrieve does the same.
func (e aliyunEnvironment) Retrieve() (credentials.Value, error) {
	return e.RetrieveWithCredContext(nil)
}

// IsExpired returns false: the environment of a process does not change.
func (aliyunEnvironment) IsExpired() bool { return false }
