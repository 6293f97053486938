package main

import (
	"io"
	"os"

	"github.com/trailvane/trailvane/pipeline/catalog"
)

// readCatalogue returns the catalogue that a file extends, the standard one without a file. Whatever is wrong with the file is
// for the user to mend.
func readCatalogue(file string) (*catalog.Catalog, error) {
	if file == "" {
		return catalog.Default(), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, usagef("--catalogue: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, catalog.MaxFile+1))
	if err != nil {
		return nil, usagef("--catalogue: %w", err)
	}
	c, err := catalog.Default().Extend(string(text))
	if err != nil {
		return nil, usagef("--catalogue=%s: %w", file, err)
	}
	return c, nil
}
