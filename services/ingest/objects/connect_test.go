package objects_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/services/ingest/objects"
	"github.com/trailvane/trailvane/services/ingest/objects/objectstest"
)

// A bucket in another region than was thought is read there.
func TestOtherRegion(t *testing.T) {
	s := objectstest.New(t, "logs")
	s.Put("logs", "a.json", "{}")
	s.Hook(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/s3/") {
			return false
		}
		w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
		objectstest.Refuse(w, http.StatusMovedPermanently, "PermanentRedirect")
		return true
	})
	o := connect(t, s, objects.Config{}, "s3://logs/a.json")
	all := list(t, o)
	if len(all) != 1 {
		t.Fatalf("got %v", all)
	}
	if got, err := read(t, o, all[0]); err != nil || got != "{}" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Without credentials nothing is asked of a store, unless that is wanted.
func TestNoCredentials(t *testing.T) {
	s := objectstest.New(t, "logs")
	s.Put("logs", "a.json", "{}")
	var signed []string
	s.Hook(func(_ http.ResponseWriter, r *http.Request) bool {
		signed = append(signed, r.Header.Get("Authorization"))
		return false
	})
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "ALIBABA_CLOUD_ACCESS_KEY_ID"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URL+"/none") // so that no host is asked for its role
	for arg, want := range map[string]string{"s3://logs": "AWS_PROFILE", "oss://logs": "ALIBABA_CLOUD_ACCESS_KEY_SECRET"} {
		o := connect(t, s, objects.Config{}, arg)
		for _, err := range o.List(t.Context()) {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--object-anonymous") {
				t.Errorf("%s: got error %v, want %q in it", arg, err, want)
			}
		}
	}
	signed = nil
	if got := names(t, connect(t, s, objects.Config{Anonymous: true}, "s3://logs")); len(got) != 1 {
		t.Errorf("anonymous: got %q", got)
	}
	if slices.ContainsFunc(signed, func(a string) bool { return a != "" }) {
		t.Errorf("anonymous: signed as %q", signed)
	}
}

// Places are objects or folders, never parts of a name, and are listed once.
func TestPlaces(t *testing.T) {
	s := objectstest.New(t, "logs")
	for _, key := range []string{"a", "a/1", "a/b/2", "ab/3", "c/"} {
		s.Put("logs", key, "{}")
	}
	for args, want := range map[string]string{
		"s3://logs":                     "a a/1 a/b/2 ab/3",
		"s3://logs/a/":                  "a a/1 a/b/2",
		"s3://logs/a/b s3://logs/ab/3":  "a/b/2 ab/3",
		"s3://logs/a/b s3://logs/a":     "a a/1 a/b/2",
		"s3://logs/a/b/2 s3://logs/a/b": "a/b/2",
	} {
		got := names(t, connect(t, s, objects.Config{}, strings.Fields(args)...))
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], "s3://logs/")
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", args, got, want)
		}
	}
	o := connect(t, s, objects.Config{}, "s3://logs/none")
	for _, err := range o.List(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "s3://logs/none: there is no object") {
			t.Errorf("got error %v", err)
		}
	}
	t.Setenv("ALIBABA_CLOUD_REGION_ID", "")
	t.Setenv("OSS_REGION", "")
	if _, err := objects.New(t.Context(), objects.Config{}, "oss://logs"); err == nil || !strings.Contains(err.Error(), "ALIBABA_CLOUD_REGION_ID") {
		t.Errorf("no region: got error %v", err)
	}
	for _, arg := range []string{"s3://", "s3://a b/x"} {
		if err := objects.Check(objects.Config{}, arg); err == nil || !strings.Contains(err.Error(), "BUCKET/KEY") {
			t.Errorf("%s: got error %v", arg, err)
		}
	}
	if err := objects.Check(objects.Config{Endpoint: "minio:9000"}, "s3://logs"); err == nil {
		t.Error("an endpoint without a scheme is taken")
	}
}
