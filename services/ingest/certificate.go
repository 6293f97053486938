package ingest

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A certificate is a pair of files that may be replaced while they are used, as those who renew certificates do.
type certificate struct {
	cert, key string // files, PEM
	log       *slog.Logger

	mu   sync.Mutex
	pair *tls.Certificate // of files as they were at these times
	at   [2]time.Time
}

// newCertificate reads the files. It is an error if they are no certificate and its key.
func newCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, strip(err)
	}
	c := &certificate{cert: cert, key: key, log: log, pair: &pair}
	c.at, err = c.changed()
	return c, err
}

// config is that of a server with the certificate.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get}
}

// get returns the certificate for a new connection: the files' if they have changed and fit together, otherwise the one before. Both are
// looked at for each connection, which is cheap beside the handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, err := c.changed()
	if err != nil || at == c.at {
		return c.pair, nil //nolint:nilerr // who replaces files may have them away for a moment
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil { // perhaps only one of both has been replaced yet; tried again for the next connection
		c.log.Warn("the new certificate for HTTP cannot be used, the one before is kept", "cert", c.cert, "key", c.key, "error", strip(err))
		return c.pair, nil
	}
	c.pair, c.at = &pair, at
	c.log.Info("the certificate for HTTP was replaced", "cert", c.cert)
	return c.pair, nil
}

// changed returns when the files were changed.
func (c *certificate) changed() (at [2]time.Time, err error) {
	for i, file := range []string{c.cert, c.key} {
		info, err := os.Stat(file)
		if err != nil {
			return at, strip(err)
		}
		at[i] = info.ModTime()
	}
	return at, nil
}
