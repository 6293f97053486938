package detector

import (
	"fmt"
	"sync"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

var _ detect.Decode = (*Panes)(nil).Decode

func record(seq uint64, event string) *runner.Record {
	batch := schemas.PaneBatch{Panes: []schemas.Pane{{
		Account: schemas.Account{Provider: schemas.AWS, ID: "123456789012"}, Region: "r", Strings: []string{"", event},
		Rows: []schemas.Row{{Name: 1, Count: 1}},
	}}}
	return &runner.Record{Seq: seq, Body: batch.Append(nil)}
}

// A message is decoded once, whoever comes first; one at the same place with other content is another one.
func TestPanesAreDecodedOnce(t *testing.T) {
	p := NewPanes()
	first, err := p.Decode(record(1, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := p.Decode(record(1, "a")); again != first {
		t.Error("the same message was decoded twice")
	}
	if other, _ := p.Decode(record(1, "b")); other == first || other.Panes[0].Strings[1] != "b" {
		t.Errorf("a message of another stream is taken for the first: %+v", other)
	}
	broken := &runner.Record{Seq: 2, Body: []byte("broken")}
	for range 2 {
		if _, err := p.Decode(broken); err == nil {
			t.Error("a broken message has no error")
		}
	}
}

// However far they are apart, detectors see their own messages, and what is kept is bounded.
func TestPanesOfManyReaders(t *testing.T) {
	p := NewPanes()
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for seq := range uint64(3 * keptMessages) {
				name := fmt.Sprint("Call", seq)
				batch, err := p.Decode(record(seq+1, name))
				if err != nil || batch.Panes[0].Strings[1] != name {
					t.Errorf("message %d is %+v, %v", seq+1, batch, err)
					return
				}
			}
		})
	}
	readers.Wait()
	if len(p.of) > keptMessages {
		t.Errorf("%d messages are kept, want at most %d", len(p.of), keptMessages)
	}
}
