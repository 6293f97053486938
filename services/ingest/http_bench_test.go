package ingest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/trailvane/trailvane/services/ingest"
)

// Clients at once, for each processor. A client waits until its request is stored.
const benchClients = 8

// Requests of clients that send as often as records come, or gather them first. Time and memory are those of client, connector and
// broker together.
func BenchmarkHTTP(b *testing.B) {
	for _, records := range []int{1, 100, 5000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			p := newPlace(b, 2)
			h, stop := p.serve(ingest.HTTPConfig{}, 0, nil)
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			r := rand.New(rand.NewPCG(1, 2))
			size := 0
			for range records {
				line := []byte(strings.TrimSuffix(event(fmt.Sprintf("%016x-%016x", r.Uint64(), r.Uint64())), "}") +
					fmt.Sprintf(`,"responseElements":{"requestId":"%032x","padding":%q}}`, r.Uint64(), strings.Repeat("padding ", 100)))
				size += len(line) + 1
				if _, err := w.Write(append(line, '\n')); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchClients}}
			defer client.CloseIdleConnections()
			var sent atomic.Int64
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.SetParallelism(benchClients)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := sent.Add(1)
					req, err := http.NewRequestWithContext(b.Context(), http.MethodPost,
						fmt.Sprintf("http://%s/v1/events/cloudtrail?source=s%d", h.Address(), n%benchClients), bytes.NewReader(packed.Bytes()))
					if err != nil {
						b.Error(err)
						return
					}
					req.Header.Set("Idempotency-Key", fmt.Sprint(n)) // or the same body would be the same request
					res, err := client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					var answer struct{ Accepted int }
					err = json.NewDecoder(res.Body).Decode(&answer)
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					if err != nil || answer.Accepted != records {
						b.Errorf("%s: accepted %d of %d, %v", res.Status, answer.Accepted, records, err)
						return
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			stop()
		})
	}
}
