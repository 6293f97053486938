package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

// tree writes files into a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// list returns the names of the objects below a root, in the order of the list.
func list(t *testing.T, f *Files, root string) []string {
	t.Helper()
	var names []string
	for o, err := range f.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(o.Name, filepath.ToSlash(root)+"/"))
	}
	return names
}

func TestFiles(t *testing.T) {
	root := tree(t, map[string]string{
		"a/1.json": "x", "a/b/2.json": "xx", "a/b/.hidden": "", "a/.git/config": "", "c/3.json": "", "c/4.txt": "",
	})
	if err := os.Symlink(filepath.Join(root, "c"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "c", "3.json"), filepath.Join(root, "a", "link.json")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"folder", []string{"a"}, []string{"a/1.json", "a/b/2.json", "a/link.json"}},
		{"file", []string{"a/1.json"}, []string{"a/1.json"}},
		{"pattern", []string{"c/*.json"}, []string{"c/3.json"}},
		{"pattern of folders", []string{"[ac]"}, []string{"a/1.json", "a/b/2.json", "a/link.json", "c/3.json", "c/4.txt"}},
		{"named twice", []string{"a/1.json", "a", "a/b"}, []string{"a/1.json", "a/b/2.json", "a/link.json"}},
		{"hidden by its name", []string{"a/b/.hidden"}, []string{"a/b/.hidden"}},
		{"link to a folder", []string{"link"}, []string{"c/3.json", "c/4.txt"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var args []string
			for _, a := range tt.args {
				args = append(args, filepath.Join(root, a))
			}
			f, err := NewFiles(args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, list(t, f, root)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFilesThatAreMissing(t *testing.T) {
	root := t.TempDir()
	for _, arg := range []string{"nothing", "no*thing", "["} {
		_, err := NewFiles(filepath.Join(root, arg))
		if err == nil || !strings.Contains(err.Error(), filepath.Join(root, arg)) {
			t.Errorf("%s: got error %v, want one that names it", arg, err)
		}
	}
	f, err := NewFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Open(t.Context(), ingest.Object{Name: filepath.ToSlash(root) + "/gone"})
	if !errors.Is(err, ingest.ErrUnreadable) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open a file that is gone: %v", err)
	}
}

// A name may look like a pattern.
func TestFileNamedLikeAPattern(t *testing.T) {
	root := tree(t, map[string]string{"a[1].json": ""})
	f, err := NewFiles(filepath.Join(root, "a[1].json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a[1].json"}, list(t, f, root)); diff != "" {
		t.Error(diff)
	}
}

// A store may stand beside the logs, or in them.
func TestFilesLeaveTheProgramsOwnOut(t *testing.T) {
	root := tree(t, map[string]string{"a/1.json": "", "a/store/streams/1.blk": "", "a/store/stdin/x": "", "b/2.json": ""})
	if err := os.Symlink(filepath.Join(root, "a"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{""}, []string{"a/1.json", "b/2.json"}},
		{[]string{"link"}, []string{"a/1.json"}},
		{[]string{"a/store"}, nil},
		{[]string{"a/store/stdin/x"}, []string{"a/store/stdin/x"}}, // named, so it is meant
	} {
		var args []string
		for _, a := range tt.args {
			args = append(args, filepath.Join(root, a))
		}
		f, err := NewFiles(args...)
		if err != nil {
			t.Fatal(err)
		}
		f.Except = filepath.Join(root, "link", "store")
		if diff := cmp.Diff(tt.want, list(t, f, root)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.args, diff)
		}
	}
}
