package ingest

import "testing"

// What came by standard input lies in files for a while, whose names say nothing to the user.
func TestFromStdin(t *testing.T) {
	for object, want := range map[string]struct {
		from int64
		ok   bool
	}{
		"/tmp/trailvane-1/stdin/at-000000004096": {4096, true},
		"/tmp/trailvane-1/stdin/stdin-0af1":      {0, true},
		"/logs/stdin/at-home":                    {0, false},
		"/logs/stdin/a.json":                     {0, false},
		"/logs/at-000000004096":                  {0, false},
		"":                                       {0, false},
	} {
		if from, ok := FromStdin(object); from != want.from || ok != want.ok {
			t.Errorf("FromStdin(%q) = %d, %v, want %d, %v", object, from, ok, want.from, want.ok)
		}
	}
}
