package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A store of the version before is read, and nothing in it counts twice: also what its program had put and not yet committed
// when it was killed, which is put again under the names that this version gives producers.
//
// testdata/upgrade.tar.gz was made by the program of the commit 07256da: two hours of a simulated account were analyzed with
// --learn 1h and --partitions 1; then an hour more came, and in the next run the program was killed when ingest had committed and
// the other stages had not (store). want.ndjson is what that program says if it is not killed. A model that changes begins anew,
// by intention: then the last program before the change makes the archive, and only the insights that it had found must stay.
func TestUpgrade(t *testing.T) {
	dir := unpack(t, filepath.Join("testdata", "upgrade.tar.gz"))
	want, err := os.ReadFile(filepath.Join(dir, "want.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	logs := filepath.Join(dir, "notes.txt") // all logs are in the store
	if err := os.WriteFile(logs, []byte("no log"), 0o600); err != nil {
		t.Fatal(err)
	}
	const counts = "events        721, from 2026-03-11 01:21 to 2026-03-11 04:22 UTC\ndropped       5 duplicates\n"
	for _, run := range []string{"the first run", "another run"} {
		var out, errOut bytes.Buffer
		code := Run(t.Context(), []string{
			"analyze", "--store", filepath.Join(dir, "store"), "--learn", "1h", "--partitions", "1",
			"--output", "ndjson", "--shape", "native", logs,
		}, nil, &out, &errOut)
		if code != exitOK {
			t.Fatalf("%s ended with %d:\n%s", run, code, errOut.String())
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%s found\n%s\nwant\n%s", run, out.Bytes(), want)
		}
		if !strings.Contains(errOut.String(), counts) {
			t.Errorf("%s says\n%s\nwant %q", run, errOut.String(), counts)
		}
	}
}

// unpack returns a folder with what is in an archive.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o750); err != nil {
				t.Fatal(err)
			}
			continue
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
