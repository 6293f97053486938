//go:build unix

package broker

import (
	"errors"
	"os"
	"syscall"
)

var errLocked = errors.New("locked")

// tryLock locks a file for as long as it is open.
func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
