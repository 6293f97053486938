// Digest prints what every detector says and keeps of made-up traffic, as one line of hashes each. It is built for several
// processors and run on each (scripts/verify-arm64): the lines must be the same, or an insight would depend on the machine
// that found it.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

func main() {
	if err := digest(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "digest:", err)
		os.Exit(1)
	}
}

// days of traffic: as many as the laws of the detectors use, so that every model has learned and found something.
const days = 9

func digest(out io.Writer) error {
	panes := detecttest.Traffic(1, "111111111111", days)
	detectors := all.Detectors()
	for _, t := range slices.Sorted(maps.Keys(detectors)) {
		d := detectors[t]()
		said, kept := sha256.New(), sha256.New()
		findings := 0
		for i := range panes {
			d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) {
				g := *f
				g.Type, g.Account, g.Region = t, panes[i].Account, panes[i].Region
				said.Write(g.Append(nil))
				findings++
			})
		}
		state := make(map[string][]byte)
		if err := d.Snapshot(func(key string, value []byte) { state[key] = value }); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		for _, key := range slices.Sorted(maps.Keys(state)) {
			fmt.Fprintf(kept, "%s %d\n", key, len(state[key]))
			kept.Write(state[key])
		}
		fmt.Fprintf(out, "%-24s %3d findings %x  %4d state keys %x\n", t, findings, said.Sum(nil)[:12], len(state), kept.Sum(nil)[:12])
	}
	return nil
}
