// Package send is a client of the connector that takes events by HTTP (docs/http.md): it sends each object until it is stored, once,
// whatever breaks in between.
package send

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

const (
	// requestTime is longer than the service takes to say that it could not store a request.
	requestTime = 45 * time.Second

	// maxAnswer bounds what is read of an answer, bytes.
	maxAnswer = 64 << 10

	// Bounds of the wait before a request is sent again.
	firstWait = 100 * time.Millisecond
	mostWait  = 5 * time.Second
	mostAsked = time.Minute // by Retry-After
)

// A Client sends to one service. It is safe for concurrent use.
type Client struct {
	URL   string // of the service, as http://127.0.0.1:8081
	Token string // empty for none

	// Waiting, if not nil, is told of each failure after which the same request is sent again, and when.
	Waiting func(err error, wait time.Duration)

	HTTP http.Client
}

// CheckURL returns an error if nothing can be sent there.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errors.New("no URL of a service, such as http://127.0.0.1:8081")
	}
	return nil
}

// A RefusalError is an answer that says no. Sending the same again would be answered alike.
type RefusalError struct {
	Status int
	Code   string
	Text   string
}

func (r *RefusalError) Error() string { return fmt.Sprintf("%s (%d %s)", r.Text, r.Status, r.Code) }

// Stored is what became of an object.
type Stored struct {
	Accepted int // records
	Refused  int // parts that hold no whole record
	Repeated bool
}

// Send has the body of an object stored, under the name of its source and a key that no other object of the source has within an
// hour. It tries until the object is stored or the context ends, unless the service refuses it, when the error is a [RefusalError], or its
// certificate cannot be trusted.
func (c *Client) Send(ctx context.Context, source, key string, body []byte) (s Stored, err error) {
	query := url.Values{"source": {source}}
	return s, c.post(ctx, "/v1/events/auto?"+query.Encode(), key, body, &s)
}

// Tick says that everything that happened in the accounts until now has been sent.
func (c *Client) Tick(ctx context.Context, source string, accounts ...schemas.Account) error {
	query := url.Values{"source": {source}}
	for _, a := range accounts {
		query.Add("account", a.String())
	}
	return c.post(ctx, "/v1/tick?"+query.Encode(), "", nil, new(struct{}))
}

// post sends a request until it is answered for good.
func (c *Client) post(ctx context.Context, path, key string, body []byte, into any) error {
	wait := firstWait
	for {
		asked, err := c.once(ctx, path, key, body, into)
		var refusal *RefusalError
		var untrusted *tls.CertificateVerificationError
		switch {
		case err == nil, errors.As(err, &refusal):
			return err
		case errors.As(err, &untrusted): // no waiting mends it
			return fmt.Errorf("%s: %w; SSL_CERT_FILE names a file of the authorities that are trusted", c.URL, untrusted)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		wait = min(2*wait, mostWait)
		if asked > 0 {
			wait = min(asked, mostAsked)
		}
		if c.Waiting != nil {
			c.Waiting(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// once sends a request. An error that is no [RefusalError] leaves open whether it is stored; wait is when to come again, if the service says so.
func (c *Client) once(ctx context.Context, path, key string, body []byte, into any) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, &RefusalError{Code: "bad_url", Text: err.Error()}
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, err
	}
	if res.StatusCode == http.StatusAccepted {
		return 0, json.Unmarshal(answer, into)
	}
	var e struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(answer, &e) != nil || e.Error.Message == "" {
		e.Error.Message = "the answer is not that of Trailvane: " + http.StatusText(res.StatusCode)
	}
	refusal := &RefusalError{Status: res.StatusCode, Code: e.Error.Code, Text: e.Error.Message}
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusRequestTimeout && res.StatusCode < 500 {
		return 0, refusal
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		wait = time.Duration(seconds) * time.Second
	}
	return wait, errors.New(refusal.Error()) // not for good
}
