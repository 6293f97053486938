package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// A logger hands on what the server says if somebody has to do something about it. Its notices of every start, of every
// recovered stream and of every consumer are nobody's business here.
type logger struct {
	log       *slog.Logger
	onFailure func(error) // may be nil

	mu     sync.Mutex
	fatal  string // why the server gave up
	failed bool   // onFailure was told
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}

// Warnf hands on a warning. That the index of a stream is built again is what follows every kill: two lines for each stream, about
// which nobody has to do anything.
func (l *logger) Warnf(format string, v ...any) {
	text, level := fmt.Sprintf(format, v...), slog.LevelWarn
	if strings.HasSuffix(text, "will rebuild") || strings.Contains(text, "Recovering stream state from index errored") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, text)
}

// Errorf hands on an error. One after which a stream takes no more writes is a failure, and told once to whoever wants to
// know, because the server has no other way to say it: it answers nothing at all to what was written. What it says behind
// that only repeats it.
func (l *logger) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if l.onFailure == nil {
		l.log.Error(text)
		return
	}
	l.mu.Lock()
	first := !l.failed
	l.failed = l.failed || isFailure(text)
	failed := l.failed
	l.mu.Unlock()
	switch {
	case !failed:
		l.log.Error(text)
	case first:
		l.onFailure(failure(text, v))
	}
}

// isFailure reports whether a message of the server means that nothing more will be written until it is started again.
func isFailure(text string) bool {
	return strings.Contains(strings.ToLower(text), "critical write error") || strings.Contains(text, "will be DISABLED")
}

// failure is the error within a message, which says what went wrong without the server's names for its parts.
func failure(text string, v []any) error {
	for _, a := range v {
		if err, ok := a.(error); ok {
			return fmt.Errorf("%w: %w", ErrWrite, err)
		}
	}
	return fmt.Errorf("%w: %s", ErrWrite, text)
}

// Fatalf is where the server would end a process that is its own. This one is not.
func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = fmt.Sprintf(format, v...)
}

// reason says why the server gave up, as the end of an error.
func (l *logger) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		return ""
	}
	return ": " + l.fatal
}
