package objects

import (
	"regexp"
	"time"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

const (
	// lookBack is how many days before the newest one of a folder are still listed at each poll. The vendors name an object by
	// the day on which they deliver it, so what is new is in the last folder, or, around midnight or after a failed delivery,
	// in the one before.
	lookBack = 2

	// fullEvery is how often everything is listed, to find what came later than that. Ten million objects are 10,000 requests.
	fullEvery = 24 * time.Hour
)

const dayLayout = "2006/01/02"

// dated are names with a folder for each day.
var dated = regexp.MustCompile(`^(.*/)([0-9]{4}/[0-9]{2}/[0-9]{2})/[^/]+$`)

// recent is what followed lists remember: how far each folder with folders for days has got. Names sort by day, so a list that
// comes upon an old day goes on at the first recent one, and years of objects cost one request. Objects whose names tell
// no day, or are not as the vendors', are always listed: nothing else says which of them are new.
type recent struct {
	full  time.Time         // when everything was listed last
	taken bool              // what was listed since is planned
	from  map[string]string // first day to list, by the folder of the days; empty: all
	seen  map[string]string // newest day, by the folder of the days
	today string            // of the list under way
	whole bool              // it came to its end
}

// begin begins a list. The clock is this host's; it decides only what is listed.
func (r *recent) begin(now time.Time) {
	if !r.taken || now.Sub(r.full) >= fullEvery {
		r.full, r.seen = now, make(map[string]string)
	}
	r.today, r.whole, r.taken = now.UTC().Format(dayLayout), false, false
	r.from = make(map[string]string)
	for folder, newest := range r.seen {
		if day, err := time.Parse(dayLayout, min(newest, r.today)); err == nil {
			r.from[folder] = day.AddDate(0, 0, -lookBack).Format(dayLayout)
		}
	}
}

// planned takes note that what was listed is in the plan.
func (r *recent) planned() { r.taken = r.whole }

// old reports whether an object is of an old day, and if so, the name behind which the list goes on.
func (r *recent) old(store, key string) (from string, old bool) {
	m := dated.FindStringSubmatch(key)
	if m == nil {
		return "", false
	}
	if at := ingest.Locate(store + key); at.Format == "" || at.Time == 0 {
		return "", false
	}
	folder, day := store+m[1], m[2]
	if first := r.from[folder]; day < first {
		return m[1] + first, true
	}
	r.seen[folder] = max(r.seen[folder], day)
	return "", false
}
