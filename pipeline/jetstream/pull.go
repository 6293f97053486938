package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// minPullBytes: the server drops a request that the next message does not fit into; 1 MiB is the largest message.
	minPullBytes = 2 << 20

	pullHeartbeat = time.Second            // of an idle request; two missed ones mean that the consumer is gone
	pullExpires   = 30 * time.Second       // of an idle request; it costs one message to renew it
	consumerIdle  = 5 * time.Minute        // after which the server forgets a consumer that nobody pulls from
	apiTimeout    = 5 * time.Second        // of one request to the server
	openTimeout   = 2 * time.Second        // of opening a consumer; a server that is going down swallows the request
	retryFirst    = 20 * time.Millisecond  // first wait before something is tried again; it doubles …
	retryMax      = 500 * time.Millisecond // … up to this
)

// errLost: the consumer is gone or missed a message; a new one has to be made.
var errLost = errors.New("consumer was lost")

// A pull is a consumer on the server and the requests for its messages. One request is open at a time: it is bounded by
// bytes, it ends with a status or a count, and the next one is sent as soon as the end of the last one is read, which is
// usually while its messages are still being worked on.
//
// It stands in for the client library's ordered consumer, which resets itself behind its caller's back, does so without
// the caller's context, cannot return what is there without a timer per message, and leaves a goroutine behind.
type pull struct {
	nc       *nats.Conn
	config   SourceConfig
	consumer jetstream.Consumer
	pending  uint64 // messages that were there when it was made
	next     string // subject of requests
	remove   string // subject that deletes the consumer
	sub      *nats.Subscription
	messages chan *nats.Msg
	status   chan nats.Status
	request  []byte
	inbox    string // of the answers; each request has a subject below it
	reply    string // of the open request
	requests uint64

	at        uint64 // stream sequence of the last record, or where the consumer starts
	delivered uint64 // the same in the consumer's own count
	left      int    // what the open request may still deliver, messages and bytes; 0 if none is open
	leftBytes int
}

type pullRequest struct {
	Expires   time.Duration `json:"expires"`
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

func openPull(
	ctx context.Context, js jetstream.JetStream, stream, filter string, after uint64, c SourceConfig,
) (*pull, error) {
	consumer, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       after + 1,
		FilterSubject:     filter,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: consumerIdle,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return nil, fmt.Errorf("create consumer on %s: %w", stream, err)
	}
	name := consumer.CachedInfo().Name
	pending := consumer.CachedInfo().NumPending
	request, err := json.Marshal(pullRequest{pullExpires, c.Messages, c.Bytes, pullHeartbeat})
	if err != nil {
		return nil, err
	}
	nc := js.Conn()
	p := &pull{
		nc:       nc,
		consumer: consumer,
		config:   c,
		next:     apiPrefix(js) + "CONSUMER.MSG.NEXT." + stream + "." + name,
		remove:   apiPrefix(js) + "CONSUMER.DELETE." + stream + "." + name,
		request:  request,
		inbox:    nc.NewInbox(),
		at:       after,
		pending:  pending,
		// The messages of a request, and the heartbeats of an idle one that nobody reads. Twice, because of the
		// next request, should we count bytes otherwise than the server.
		messages: make(chan *nats.Msg, 2*(c.Messages+int(pullExpires/pullHeartbeat))),
		status:   nc.StatusChanged(nats.RECONNECTING, nats.CLOSED),
	}
	p.sub, err = nc.ChanSubscribe(p.inbox+".*", p.messages)
	if err != nil {
		nc.RemoveStatusListener(p.status)
		return nil, err
	}
	return p, nil
}

// apiPrefix is where a JetStream context sends its requests.
func apiPrefix(js jetstream.JetStream) string {
	o := js.Options()
	switch {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "" && o.APIPrefix[len(o.APIPrefix)-1] != '.':
		return o.APIPrefix + "."
	case o.APIPrefix != "":
		return o.APIPrefix
	}
	return jetstream.DefaultAPIPrefix
}

// receive returns the next message, or nil if there is none: at once if it may not block, otherwise when drain is closed or
// the server says that it has nothing.
func (p *pull) receive(ctx context.Context, block bool, drain <-chan struct{}) (*nats.Msg, error) {
	for {
		if p.left <= 0 || p.leftBytes <= 0 {
			if err := p.ask(); err != nil {
				return nil, err
			}
		}
		var m *nats.Msg
		select {
		case m = <-p.messages:
		default:
			if !block {
				return nil, nil
			}
			var err error
			if m, err = p.wait(ctx, drain); m == nil {
				return nil, err
			}
		}
		if len(m.Data) > 0 || m.Header.Get("Status") == "" {
			p.left--
			p.leftBytes -= m.Size()
			return m, nil
		}
		if idle, err := p.answer(m); err != nil || idle && block {
			return nil, err
		}
	}
}

// ask opens the next request. Its number is in the subject of whatever the server says about it.
func (p *pull) ask() error {
	p.requests++
	p.reply = p.inbox + "." + strconv.FormatUint(p.requests, 10)
	p.left, p.leftBytes = p.config.Messages, p.config.Bytes
	return p.nc.PublishRequest(p.next, p.reply, p.request)
}

func (p *pull) wait(ctx context.Context, drain <-chan struct{}) (*nats.Msg, error) {
	alive := time.NewTimer(2*pullHeartbeat + pullHeartbeat/2)
	defer alive.Stop()
	select {
	case m := <-p.messages:
		return m, nil
	case <-drain:
		return nil, nil
	case status := <-p.status:
		return nil, fmt.Errorf("%w: connection is %v", errLost, status)
	case <-alive.C:
		return nil, fmt.Errorf("%w: no heartbeat", errLost)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// deliver checks that a message is the next one of the consumer.
func (p *pull) deliver(seq, delivered uint64) error {
	if delivered != p.delivered+1 || seq <= p.at {
		return fmt.Errorf("%w: it delivered its message %d after %d", errLost, delivered, p.delivered)
	}
	p.delivered, p.at = delivered, seq
	return nil
}

// answer reads what the server says about the open request. Idle: the server had nothing to deliver for a while.
func (p *pull) answer(m *nats.Msg) (idle bool, err error) {
	code, text := m.Header.Get("Status"), m.Header.Get("Description")
	end := code == "408" || // expired
		code == "409" && (text == "Message Size Exceeds MaxBytes" || text == "Batch Completed")
	switch {
	case code == "100": // heartbeat
		return true, nil
	case end && m.Subject == p.reply:
		p.left, p.leftBytes = 0, 0
		return code == "408", nil
	case end: // of a request whose end we had counted
		return false, nil
	}
	// Consumer deleted, leader changed, no responders, …
	return false, fmt.Errorf("%w: %s %s", errLost, code, text)
}

// close forgets the consumer, here and, if the server hears it, there. Nobody waits: an unheard one ends by itself.
func (p *pull) close() {
	p.nc.RemoveStatusListener(p.status)
	_ = p.sub.Unsubscribe()
	_ = p.nc.Publish(p.remove, nil)
}

// connected waits for a connection: a request that is sent while it breaks is lost, and would be waited for in vain.
func connected(ctx context.Context, nc *nats.Conn) error {
	for wait := retryFirst; !nc.IsConnected(); wait = min(2*wait, retryMax) {
		if nc.IsClosed() {
			return nats.ErrConnectionClosed
		}
		if err := sleep(ctx, wait); err != nil {
			return fmt.Errorf("connection is %v: %w", nc.Status(), err)
		}
	}
	return nil
}
