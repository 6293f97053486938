package present

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Terminal returns the width of the terminal that a stream is shown on, and whether it is one.
func Terminal(w io.Writer) (width int, ok bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80 // as terminals were
	}
	return width, true
}

// Fit cuts text to the lines that a terminal has, from the end, so that its first line stays in sight; elsewhere nothing is cut.
func Fit(w io.Writer, text string) string {
	width, ok := Terminal(w)
	if !ok {
		return text
	}
	_, height, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		return text
	}
	return onScreen(text, width, height)
}

// onScreen cuts text to a screen, columns and lines. A line that is longer than the screen is wide takes several. The last line of the
// screen stays empty, because the cursor is there.
func onScreen(text string, width, height int) string {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	rows := make([]int, len(lines))
	used := 0
	for i, line := range lines {
		rows[i] = max(1, (columns(strings.TrimSuffix(line, "\n"))+width-1)/width)
		used += rows[i]
	}
	if used < height {
		return text
	}
	shown := len(lines)
	for shown > 1 && used >= height-1 { // one more for what is said below
		shown--
		used -= rows[shown]
	}
	return strings.Join(lines[:shown], "") + fmt.Sprintf("… %s more\n", plural(len(lines)-shown, "line"))
}

// Progress shows a bar on w, if that is a terminal, until stop is called; stop takes it away and waits until it is gone.
// Read returns how much is done, and of how much; it is called from another goroutine. It may know the total later than
// it begins.
func Progress(w io.Writer, unit func(int64) string, read func() (done, total int64)) (stop func()) {
	if _, ok := Terminal(w); !ok {
		return func() {}
	}
	quit := make(chan struct{})
	var gone sync.WaitGroup
	begun := time.Now()
	gone.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond) // often enough to look alive, too seldom to cost
		defer tick.Stop()
		for {
			select {
			case <-quit:
				fmt.Fprint(w, "\r\x1b[K")
				return
			case <-tick.C:
				width, _ := Terminal(w)
				done, total := read()
				fmt.Fprint(w, "\r"+bar(done, total, time.Since(begun), unit, width-1)+"\x1b[K")
			}
		}
	})
	return sync.OnceFunc(func() {
		close(quit)
		gone.Wait()
	})
}

// Bytes is the unit of what is read from files.
func Bytes(n int64) string { return size(n) }

// bar returns one line of at most width columns: how far, the rate, and the time left at this rate.
func bar(done, total int64, elapsed time.Duration, unit func(int64) string, width int) string {
	if total <= 0 {
		return Safe("looking for logs, "+took(elapsed), width)
	}
	share := math.Min(1, float64(done)/float64(total))
	text := fmt.Sprintf(" %3.0f %%  %s of %s", 100*share, unit(done), unit(total))
	if seconds := elapsed.Seconds(); seconds >= 1 && done > 0 {
		rate := float64(done) / seconds
		left := time.Duration(float64(max(total-done, 0)) / rate * float64(time.Second))
		text += fmt.Sprintf("  %s/s  %s left", unit(int64(rate)), took(left))
	}
	room := min(width-columns(text)-2, 40)
	if room < 5 {
		return Safe(strings.TrimSpace(text), width)
	}
	full := int(share * float64(room))
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]" + text
}
