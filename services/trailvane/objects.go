package main

import (
	"slices"

	"github.com/trailvane/trailvane/services/ingest/objects"
)

// objectFlags are how object stores are reached. Credentials are taken from where the vendors' own tools look for them.
type objectFlags struct {
	ObjectEndpoint  string `placeholder:"URL" help:"Where the s3:// and oss:// paths are, instead of at the vendor: a MinIO server, a private endpoint."`
	ObjectAnonymous bool   `help:"Read buckets that everybody may read, without credentials."`
}

func (f *objectFlags) config() objects.Config {
	return objects.Config{Endpoint: f.ObjectEndpoint, Anonymous: f.ObjectAnonymous}
}

// check returns an error if the flags or the paths in stores among some cannot be meant.
func (f *objectFlags) check(paths []string) error {
	stores := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !objects.Is(p) })
	return objects.Check(f.config(), stores...)
}
