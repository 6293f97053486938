package objects_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/services/ingest/objects"
	"github.com/trailvane/trailvane/services/ingest/objects/objectstest"
)

// connect returns a connector of places in a server.
func connect(t *testing.T, s *objectstest.Server, c objects.Config, args ...string) *objects.Objects {
	t.Helper()
	c.Endpoint = s.URL
	o, err := objects.New(t.Context(), c, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// names lists the objects.
func names(t *testing.T, o *objects.Objects) []string {
	t.Helper()
	var all []string
	for object, err := range o.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object.Name)
	}
	return all
}

// A list has many pages.
func TestListPages(t *testing.T) {
	s := objectstest.New(t, "logs")
	var want []string
	for i := range 2500 {
		key := fmt.Sprintf("a/%04d.json", i)
		s.Put("logs", key, "{}")
		want = append(want, "s3://logs/"+key)
	}
	s.Put("logs", "b/1.json", "{}")
	o := connect(t, s, objects.Config{}, "s3://logs/a")
	got := names(t, o)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%.500s", diff)
	}
	if n := s.Lists.Load(); n != 4 {
		t.Errorf("%d lists, want one for the name, and three pages", n)
	}
}
