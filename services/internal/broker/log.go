package broker

import (
	"fmt"
	"log/slog"
	"sync"
)

// A logger hands on what the server says if somebody has to do something about it. Its notices of every start, of every
// recovered stream and of every consumer are nobody's business here.
type logger struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal string // why the server gave up
}

func (l *logger) Warnf(format string, v ...any)  { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *logger) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }
func (l *logger) Noticef(string, ...any)         {}
func (l *logger) Debugf(string, ...any)          {}
func (l *logger) Tracef(string, ...any)          {}

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
