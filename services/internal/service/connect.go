package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/schemas"
)

// Credentials are how a process shows who it is, and knows with whom it speaks: flags of every command that connects.
type Credentials struct {
	Creds   string `type:"existingfile" placeholder:"FILE" help:"NATS credentials: a .creds file with a JWT and its seed. It is read again at every reconnect."`
	TLSCA   string `name:"tls-ca" type:"existingfile" placeholder:"FILE" help:"Certificates (PEM) of the authorities that may sign the server's; those of the system without it. Naming it asks for TLS."`
	TLSCert string `name:"tls-cert" type:"existingfile" placeholder:"FILE" help:"Certificate (PEM) of this client, for servers that verify clients; with --tls-key."`
	TLSKey  string `name:"tls-key" type:"existingfile" placeholder:"FILE" help:"Private key (PEM) of --tls-cert."`
}

// A Connection is where the broker is: flags of every command that needs one.
type Connection struct {
	NATS []string `name:"nats" default:"nats://127.0.0.1:4222" placeholder:"URL" help:"NATS servers of one cluster, by commas, as nats://host:4222 or tls://host:4222 (default: ${default})."`
	Credentials
}

// Check returns an error if the flags make no sense.
func (c *Connection) Check() error {
	if err := CheckURLs(c.NATS); err != nil {
		return err
	}
	return c.Credentials.Check()
}

// Connect connects as [Credentials.Connect] does.
func (c *Connection) Connect(ctx context.Context, name string, log *slog.Logger) (jetstream.JetStream, error) {
	return c.Credentials.Connect(ctx, c.NATS, name, log)
}

// Check returns an error if the flags make no sense together, or a file is not what it should be.
func (c *Credentials) Check() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key: one needs the other")
	}
	if c.TLSCA != "" {
		if pem, err := os.ReadFile(c.TLSCA); err != nil {
			return fmt.Errorf("--tls-ca: %w", err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return fmt.Errorf("--tls-ca: no certificate (PEM) is in %s", c.TLSCA)
		}
	}
	if c.TLSCert != "" {
		if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
			return fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
	}
	return nil
}

// CheckURLs returns an error if one of them is no URL of a server. It does not tell the URL, which may hold a password.
func CheckURLs(urls []string) error {
	if len(urls) == 0 {
		return errors.New("--nats: no server is named")
	}
	for i, s := range urls {
		u, err := parseURL(s)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return fmt.Errorf("--nats: server %d of %d is no URL such as nats://host:4222", i+1, len(urls))
		}
	}
	return nil
}

// parseURL parses the URL of a server, whose scheme may be missing.
func parseURL(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	return url.Parse(s)
}

// WithoutSecrets returns the URLs by commas, with names, passwords and tokens hidden.
func WithoutSecrets(urls []string) string {
	shown := make([]string, len(urls))
	for i, s := range urls {
		u, err := parseURL(s)
		if err != nil {
			shown[i] = "(no URL)"
			continue
		}
		if u.User != nil {
			u.User = url.User("hidden")
		}
		u.RawQuery, u.Fragment = "", ""
		shown[i] = u.String()
	}
	return strings.Join(shown, ",")
}

// Bounds of a connection. A server that is gone must be noticed, and another one found, well within the 5 s after which work
// has to go on.
const (
	dialPatience  = 2 * time.Second
	pingInterval  = time.Second
	pingsMissed   = 3
	reconnectWait = 100 * time.Millisecond // and at most as much again four times, so that clients do not come back in one moment
	firstWait     = time.Second            // between attempts of a first connection, which nobody waits for
	apiPatience   = 5 * time.Second
	tellEvery     = 30 * time.Second // that the server is still away: at once, and then so often
)

// minServer is the oldest server that has all that the streams need: fast batches came last.
var minServer = [2]int{2, 14}

// Connect connects to a NATS cluster, under a name that its monitoring shows, and finds out whether it can be worked with. It
// tries until the context ends, and says so; an error is what no waiting mends: refused credentials, a server that is too old
// or has no JetStream. Once made, a connection comes back by itself, for ever. The caller closes it: js.Conn().Close().
func (c *Credentials) Connect(ctx context.Context, urls []string, name string, log *slog.Logger) (jetstream.JetStream, error) {
	where := WithoutSecrets(urls)
	tell := seldom(log)
	for {
		nc, err := nats.Connect(strings.Join(urls, ","), c.options(name, log)...)
		switch {
		case err == nil:
			js, err := usable(ctx, nc, where, log)
			if err != nil {
				nc.Close()
				return nil, err
			}
			log.Info("connected to NATS", "server", nc.ConnectedServerName(), "version", nc.ConnectedServerVersion())
			return js, nil
		case refused(err):
			return nil, fmt.Errorf("connect to NATS at %s: %w; are --creds, or name and password in --nats, those of this server?", where, err)
		case untrusted(err):
			return nil, fmt.Errorf("connect to NATS at %s: %w; do --tls-ca, --tls-cert and --tls-key belong to this server?", where, err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		tell(fmt.Sprintf("cannot reach NATS at %s, trying again", where), err)
		if err := wait(ctx, firstWait); err != nil {
			return nil, err
		}
	}
}

func (c *Credentials) options(name string, log *slog.Logger) []nats.Option {
	options := []nats.Option{
		nats.Name("trailvane " + name),
		nats.Timeout(dialPatience),
		nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(pingsMissed),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(func(int) time.Duration { return reconnectWait + rand.N(4*reconnectWait) }),
		// What was refused may be accepted again: credentials are replaced while a process runs, and read at each attempt.
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if err != nil && !nc.IsClosed() {
				log.Warn("the connection to NATS is lost, connecting again", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("connected to NATS again", "server", nc.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			log.Warn("NATS reports an error", "error", err, "subject", subject)
		}),
	}
	if c.Creds != "" {
		options = append(options, nats.UserCredentials(c.Creds))
		if user := userOf(c.Creds); user != "" {
			options = append(options, nats.CustomInboxPrefix(Inbox(user)))
		}
	}
	if c.TLSCA != "" {
		options = append(options, nats.RootCAs(c.TLSCA))
	}
	if c.TLSCert != "" {
		options = append(options, nats.ClientCert(c.TLSCert, c.TLSKey))
	}
	return options
}

// Inbox is where a user gets his answers. Each has a place of his own, so that users can be kept from reading each other's; it lies
// below the one that all have by default, so that nothing more is needed where they are not.
func Inbox(user string) string { return nats.InboxPrefix + user }

// userOf returns the name of the user of a file of credentials, if it can be part of a subject; else he gets his answers where all do.
func userOf(creds string) string {
	content, err := os.ReadFile(creds)
	if err != nil {
		return ""
	}
	token, err := jwt.ParseDecoratedJWT(content)
	if err != nil {
		return ""
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil || schemas.Token(claims.Name) != claims.Name {
		return ""
	}
	return claims.Name
}

// usable returns the JetStream of a connection, and waits until it is there.
func usable(ctx context.Context, nc *nats.Conn, where string, log *slog.Logger) (jetstream.JetStream, error) {
	if v := nc.ConnectedServerVersion(); older(v, minServer) {
		return nil, fmt.Errorf("NATS at %s is version %s, and Trailvane needs %d.%d or newer", where, v, minServer[0], minServer[1])
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	tell := seldom(log)
	for {
		err := account(ctx, js)
		switch {
		case err == nil:
			return js, nil
		case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
			return nil, fmt.Errorf("NATS at %s has no JetStream for this account, which keeps all streams and state; "+
				"switch it on in the server's configuration (jetstream {…})", where)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		tell(fmt.Sprintf("JetStream of NATS at %s does not answer, trying again", where), err)
		if err := wait(ctx, firstWait); err != nil {
			return nil, err
		}
	}
}

// seldom returns what warns of something that is tried again and again: at once, and then every tellEvery.
func seldom(log *slog.Logger) func(what string, err error) {
	var told time.Time
	return func(what string, err error) {
		if time.Since(told) >= tellEvery {
			told = time.Now()
			log.Warn(what, "error", err)
		}
	}
}

func account(ctx context.Context, js jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	_, err := js.AccountInfo(ctx)
	return err
}

// older reports whether a version such as 2.10.4 is older than another one. One that cannot be read is not: what is wrong with
// it will show.
func older(version string, than [2]int) bool {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err == nil && err2 == nil && (a < than[0] || a == than[0] && b < than[1])
}

// refused reports whether the server knows us not.
func refused(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) ||
		errors.Is(err, nats.ErrAccountAuthExpired) || errors.Is(err, nats.ErrNkeysNotSupported)
}

// untrusted reports whether the two cannot agree on TLS.
func untrusted(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(x509.UnknownAuthorityError)) ||
		errors.As(err, new(x509.HostnameError)) || errors.As(err, new(tls.AlertError)) || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.Is(err, nats.ErrSecureConnWanted) || errors.Is(err, nats.ErrSecureConnRequired)
}

// wait waits, or returns the error of the context.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
