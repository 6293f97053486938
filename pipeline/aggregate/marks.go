package aggregate

import (
	"github.com/trailvane/trailvane/schemas"
	"github.com/vmihailenco/msgpack/v5"
)

// A Mark is how far the event time of an account has come in a region.
type Mark struct {
	Account schemas.Account
	Region  string
	Lane    int            // that fed it last
	Newest  schemas.Minute // that held an event
	First   schemas.Minute // that is not final: the watermark
}

// Marks calls fn for every account and region, in no order, with the number of its open minutes. It is for those who look.
func (p *Processor) Marks(fn func(m Mark, open int)) {
	for _, g := range p.groups {
		newest, first, _ := g.mark.State()
		fn(Mark{Account: g.account, Region: g.region, Lane: g.lane, Newest: newest, First: first}, g.open.Windows())
	}
}

// MarkKeys is the first token of the state keys that hold marks.
const MarkKeys = "groups"

// ReadMarks calls fn for the marks in one value of the state, which is one of [MarkKeys]. An account and region whose open
// windows take several entries comes several times, with the same mark. It is for those who look: of open windows and hours nothing is kept.
func ReadMarks(key string, state []byte, fn func(Mark)) error {
	return New(0).kept.Read(key, state, func(_ int, entry []byte) error {
		if len(entry) > 0 && entry[0] == hourEntry {
			return nil
		}
		var saved savedGroup
		if err := msgpack.Unmarshal(entry, &saved); err != nil {
			return err
		}
		fn(Mark{
			Account: schemas.Account{Provider: schemas.Provider(saved.Provider), ID: saved.Account}, Region: saved.Region,
			Lane: saved.Lane, Newest: schemas.Minute(saved.Newest), First: schemas.Minute(saved.First),
		})
		return nil
	})
}
