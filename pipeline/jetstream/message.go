package jetstream

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// Message headers. The names are short because every message pays for them.
const (
	numberHeader = "Tv"          // "<producer> <seq>.<index>"
	traceHeader  = "traceparent" // W3C trace context
)

// encode makes the message that stores an output.
func encode(o *runner.Output, reply string) *nats.Msg {
	m := &nats.Msg{Subject: o.Subject, Reply: reply, Data: o.Body}
	if o.Producer != "" {
		m.Header = nats.Header{numberHeader: {formatNumber(o.Producer, o.Number)}}
	}
	if o.Trace != "" {
		if m.Header == nil {
			m.Header = nats.Header{}
		}
		m.Header[traceHeader] = []string{o.Trace}
	}
	return m
}

func formatNumber(producer string, n schemas.Number) string {
	b := make([]byte, 0, len(producer)+24)
	b = append(b, producer...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, n.Seq, 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(n.Index), 10)
	return string(b)
}

// parseNumber reads what formatNumber wrote. Without the header a message has no producer, which is not an error: other
// programs may write to a stream.
func parseNumber(header string) (producer string, n schemas.Number, err error) {
	if header == "" {
		return "", n, nil
	}
	// The number stands behind the last space, so that a producer may be named freely.
	i := strings.LastIndexByte(header, ' ')
	seq, index, ok := strings.Cut(header[i+1:], ".")
	if i <= 0 || !ok {
		return "", n, fmt.Errorf("header %s is %q", numberHeader, header)
	}
	n.Seq, err = strconv.ParseUint(seq, 10, 64)
	if err == nil {
		var index64 uint64
		index64, err = strconv.ParseUint(index, 10, 32)
		n.Index = uint32(index64)
	}
	if err != nil {
		return "", schemas.Number{}, fmt.Errorf("header %s is %q", numberHeader, header)
	}
	return header[:i], n, nil
}

// decode turns a message of a consumer into a record, and says its place among the consumer's messages.
func decode(m *nats.Msg) (r runner.Record, delivered uint64, err error) {
	md, err := m.Metadata()
	if err != nil {
		return r, 0, err
	}
	producer, number, err := parseNumber(m.Header.Get(numberHeader))
	if err != nil {
		return r, 0, fmt.Errorf("message %d of %s: %w", md.Sequence.Stream, md.Stream, err)
	}
	return runner.Record{
		Seq:      md.Sequence.Stream,
		Prev:     md.Sequence.Stream - 1, // streams are read unfiltered, so every sequence counts
		Subject:  m.Subject,
		Producer: producer,
		Number:   number,
		Time:     md.Timestamp,
		Trace:    m.Header.Get(traceHeader),
		Body:     m.Data,
	}, md.Sequence.Consumer, nil
}
