// Package sizing computes the table of docs/sizing.md from what was measured (docs/performance.md) and assumed, and holds the page to it:
//
//	go test ./test/sizing -update
package sizing

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/sizing.md")

// Measured, see docs/performance.md: one machine, two cores of an Intel Xeon.
const (
	cpuPerEvent    = 11.1e-6 // seconds of a core, all stages and the server, records of 1.2 KB
	serverPerEvent = 1.8e-6  // of it: server, and connections at both ends
	rawBytes       = 142.0   // bytes of an event in RAW, EVENTS, WINDOWS, METRICS
	eventsBytes    = 54.0
	windowsBytes   = 55.0
	metricsBytes   = 5.7
	insightBytes   = 2500.0 // of an insight event
	rateSeries     = 504.0  // bytes of state of a series of ApiCallRate
	errorSeries    = 562.0  // of ApiErrorRate
	keySeries      = 630.0  // of Ak
	prefix         = 6.0    // of a known network of Ip
	principal      = 3 * 74.0
	openEvent      = 10.0     // of an event in the open minutes of the aggregator
	loadPerSeries  = 2.8e-6   // seconds
	processBytes   = 35 * 1e6 // of a service that does nothing
	services       = 11       // kinds of processes, one for each detector
)

// Assumed: change them to what you know of your accounts.
const (
	eventsADay   = 100_000.0 // management events of an account
	peak         = 5.0       // busiest minutes over the average
	apis         = 200.0     // write calls that an account uses, over its regions
	errors       = 100.0     // API and code pairs
	keys         = 50.0
	networks     = 1000.0
	principals   = 100.0
	insightsADay = 0.3
	outageHours  = 12.0 // that RAW must hold, when nothing reads it
	openMinutes  = 20.0
	heap         = 2.5 // memory of a process over the bytes of the state that it has
	replicated   = 3.0 // of server's work with R3
)

const day = 86400.0

// account is the state of one account, bytes.
func account() float64 {
	return apis*rateSeries + errors*errorSeries + keys*keySeries + networks*prefix + principals*principal
}

func series() float64 { return apis + errors + keys }

func table() string {
	var b strings.Builder
	b.WriteString("| accounts | events/s, average and peak | cores at peak, one node | with R3 | memory of all services | disk of each NATS node | partitions, lanes | load of the largest partition |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		accounts, partitions, lanes float64
	}{{10, 8, 2}, {1000, 16, 8}, {100_000, 32, 32}} {
		rate := c.accounts * eventsADay / day
		single := rate * peak * cpuPerEvent
		cluster := rate * peak * (cpuPerEvent + (replicated-1)*serverPerEvent)
		state := c.accounts*account() + rate*peak*openMinutes*60*openEvent
		memory := services*processBytes + heap*state
		disk := rate*outageHours*3600*(rawBytes+eventsBytes+windowsBytes) + rate*day*90*metricsBytes + c.accounts*insightsADay*2*93*insightBytes + 2*state
		fmt.Fprintf(&b, "| %s | %s, %s | %.1f | %.1f | %s | %s | %.0f, %.0f | %.1f s |\n", number(c.accounts), number(rate), number(rate*peak), single, cluster,
			size(memory), size(disk/0.9), c.partitions, c.lanes, c.accounts*series()/c.partitions*loadPerSeries)
	}
	return b.String()
}

func number(n float64) string {
	s := fmt.Sprintf("%.0f", n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func size(bytes float64) string {
	switch {
	case bytes < 1e9:
		return fmt.Sprintf("%.0f MB", bytes/1e6)
	case bytes < 1e12:
		return fmt.Sprintf("%.1f GB", bytes/1e9)
	}
	return fmt.Sprintf("%.1f TB", bytes/1e12)
}

func TestTable(t *testing.T) {
	const file, begin, end = "../../docs/sizing.md", "<!-- begin of the table, which a test writes -->\n", "<!-- end of the table -->"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), begin)
	was, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", file)
	}
	if want := table(); was != want {
		if !*update {
			t.Fatalf("%s: the table is not what is computed; -update writes it:\n%s", file, want)
		}
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
