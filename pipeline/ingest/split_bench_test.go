package ingest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/trailvane/trailvane/pipeline/memory"
)

// record is as long, and as nested, as a usual CloudTrail record.
const record = `{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLEEXAMPLEXX:deployer",` +
	`"arn":"arn:aws:sts::111122223333:assumed-role/Deploy/deployer","accountId":"111122223333","accessKeyId":` +
	`"ASIAEXAMPLEEXAMPLE00","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLEEXAMPLEXX",` +
	`"arn":"arn:aws:iam::111122223333:role/Deploy","accountId":"111122223333","userName":"Deploy"},"webIdFederationData":{},` +
	`"attributes":{"creationDate":"2024-05-02T08:11:03Z","mfaAuthenticated":"false"}}},"eventTime":17146375%02d,` +
	`"eventSource":"ec2.amazonaws.com","eventName":"DescribeInstances","awsRegion":"eu-west-1","sourceIPAddress":` +
	`"203.0.113.17","userAgent":"aws-sdk-go-v2/1.26.1 os/linux lang/go#1.22.2 md/GOOS#linux api/ec2#1.160.0",` +
	`"requestParameters":{"instancesSet":{},"filterSet":{"items":[{"name":"tag:Name","valueSet":{"items":[{"value":"web\"1\""}` +
	`]}}]}},"responseElements":null,"requestID":"4d0f7bd1-0a3c-4f6e-8f6b-2d1c6f6b%04x","eventID":"b1c2d3e4-5f60-4718-` +
	`92a3-b4c5d6e7%04x","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333",` +
	`"eventCategory":"Management"}`

// recordsOf returns a container of n records.
func recordsOf(n int) string {
	var b strings.Builder
	b.WriteString(`{"Records":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, record, i%100, i%65536, i%65536)
	}
	b.WriteString("]}")
	return b.String()
}

func compress(t testing.TB, s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func BenchmarkSplit(b *testing.B) {
	in := recordsOf(20_000)
	s := NewSplitter(nil)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(strings.NewReader(in))
		n := 0
		for {
			if _, err := s.Next(); err != nil {
				break
			}
			n++
		}
		if n != 20_000 {
			b.Fatalf("%d records", n)
		}
	}
}

// BenchmarkSource reads 20 files of 1000 records; MB/s are those of the uncompressed bytes.
func BenchmarkSource(b *testing.B) {
	in := recordsOf(1000)
	for name, content := range map[string]string{"gzip": compress(b, in), "plain": in} {
		b.Run("files="+name, func(b *testing.B) {
			files := objects{}
			for i := range 20 {
				files[fmt.Sprintf("%02d", i)] = content
			}
			p := plan(b, files, memory.NewBroker(nil).Store("ingest"))
			b.SetBytes(int64(20 * len(in)))
			b.ReportAllocs()
			for b.Loop() {
				s := source(p, files)
				after, n := uint64(0), 0
				for {
					records, err := s.Read(b.Context(), after)
					if err != nil {
						break
					}
					n += len(records)
					after = records[len(records)-1].Seq
				}
				if n < 20 {
					b.Fatal(n)
				}
			}
		})
	}
}
