package simulate

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// BulkOptions say how much to write. The zero value is the benchmark's million.
type BulkOptions struct {
	Seed       uint64
	Start      time.Time     // DefaultStart if zero
	Span       time.Duration // of event time, 5 days if zero
	Records    int           // 1,000,000 if zero
	Accounts   int           // 5 if zero
	Regions    int           // of each account, 4 if zero
	Principals int           // of each account, 40 if zero
	Names      int           // of events in each account, 60 if zero
	PerFile    int           // records of one file, 2,000 if zero: five minutes of a busy account
}

// WriteBulk writes CloudTrail records of about 1.2 KB as fast as it can, for benchmarks: valid, distinct, in the order of
// time within a trail, but without habits or attacks. The files lie below dir as in S3. The same options give the same
// bytes. It returns the bytes of all records, uncompressed.
func WriteBulk(dir string, o BulkOptions) (int64, error) {
	if o.Start.IsZero() {
		o.Start = DefaultStart
	}
	o.Span = cmp.Or(o.Span, 5*24*time.Hour)
	o.Records = cmp.Or(o.Records, 1_000_000)
	o.Accounts = cmp.Or(o.Accounts, 5)
	o.Regions = cmp.Or(o.Regions, 4)
	o.Principals = cmp.Or(o.Principals, 40)
	o.Names = cmp.Or(o.Names, 60)
	o.PerFile = cmp.Or(o.PerFile, 2000)
	if min(o.Records, o.Accounts, o.Regions, o.Principals, o.Names, o.PerFile) < 1 || o.Span < time.Second {
		return 0, fmt.Errorf("write %d records: every number must be positive", o.Records)
	}

	var (
		files   = make(chan bulkFile)
		workers sync.WaitGroup
		mu      sync.Mutex // guards size and failed
		size    int64
		failed  error
	)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			w := newBulkWriter(dir, o)
			for f := range files {
				n, err := w.write(f)
				mu.Lock()
				size += n
				failed = cmp.Or(failed, err)
				mu.Unlock()
			}
		})
	}
	// A trail, one region of one account, has an equal part of the records and all of the time.
	trails := o.Accounts * o.Regions
	for trail := range trails {
		total := o.Records / trails
		if trail < o.Records%trails {
			total++
		}
		for first := 0; first < total; first += o.PerFile {
			files <- bulkFile{trail: trail, total: total, first: first, records: min(o.PerFile, total-first)}
		}
	}
	close(files)
	workers.Wait()
	return size, failed
}

// A bulkFile is a stretch of the records of one trail.
type bulkFile struct {
	trail, total   int
	first, records int
}

// A bulkWriter writes files of any trail. Everything that does not change from record to record is made before.
type bulkWriter struct {
	dir    string
	o      BulkOptions
	shapes []bulkShape
	body   []byte
	packed bytes.Buffer
	z      *gzip.Writer
}

// A bulkShape is the text of one API's records between the values that change.
type bulkShape struct {
	source string // up to the region
	agent  string // up to the request's id
	end    string // up to the account
}

func newBulkWriter(dir string, o BulkOptions) *bulkWriter {
	known := []*api{
		&describeInstances, &describeStatus, &decrypt, &getSetting, &alarms, &createTags, &services, &assumeRole, &runInstances,
		&terminateInstances, &bucketPolicy, &newTaskDef, &newService, &putSetting, &logStream, &createSnapshot, &putImage,
	}
	values := strings.NewReplacer("#", "0123456789abcdef0", "~", "2026-03-02T00:00:00Z", "%", "ABCDEFGHIEXAMPLE")
	w := &bulkWriter{dir: dir, o: o}
	w.z, _ = gzip.NewWriterLevel(&w.packed, gzip.BestSpeed) // fails on an unknown level only
	for i := range o.Names {
		p := &api{service: "ec2.amazonaws.com", name: "InventedCall" + strconv.Itoa(i), write: i%3 == 0, params: oneInstance}
		if i < len(known) {
			p = known[i]
		}
		tail := `,"requestParameters":` + orNull(p.params) + `,"responseElements":` + orNull(p.response)
		// Short records are filled up, so that the mean is near that of real trails.
		if fill := 230 - len(tail); fill > 0 {
			tail += `,"additionalEventData":{"note":"` + strings.Repeat("padding ", fill/8) + `"}`
		}
		w.shapes = append(w.shapes, bulkShape{
			source: `","eventSource":"` + p.service + `","eventName":"` + p.name + `","awsRegion":"`,
			agent:  `","userAgent":"` + terraformAgent + `"` + values.Replace(tail) + `,"requestID":"`,
			end: `","readOnly":` + strconv.FormatBool(!p.write) + `,"eventType":"AwsApiCall","managementEvent":true,` +
				`"eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",` +
				`"clientProvidedHostHeader":"` + p.service + `"},"recipientAccountId":"`,
		})
	}
	return w
}

// write writes one file. Its random stream is its own, so that it does not matter who writes it, and when.
func (w *bulkWriter) write(f bulkFile) (int64, error) {
	account := strconv.Itoa(210000000000 + f.trail/w.o.Regions)
	region := bulkRegion(f.trail % w.o.Regions)
	r := stream(w.o.Seed, "bulk", strconv.Itoa(f.trail), strconv.Itoa(f.first))

	b := append(w.body[:0], `{"Records":[`...)
	var at time.Time
	for i := range f.records {
		// In floating point, because the product of two large numbers does not fit into 64 bits.
		share := float64(f.first+i) / float64(f.total)
		at = w.o.Start.Add(time.Duration(share * float64(w.o.Span))).UTC()
		if i > 0 {
			b = append(b, ',')
		}
		b = w.record(b, account, region, at, r)
	}
	b = append(b, `]}`...)
	w.body = b

	w.packed.Reset()
	w.z.Reset(&w.packed)
	if _, err := w.z.Write(b); err != nil {
		return 0, err
	}
	if err := w.z.Close(); err != nil {
		return 0, err
	}
	slot := at.Add(slotSeconds * time.Second).Truncate(slotSeconds * time.Second)
	object := cloudTrail{account}.object(region, slot, f.records, nil, r)
	return int64(len(b)), writeFile(filepath.Join(w.dir, filepath.FromSlash(object)), w.packed.Bytes())
}

// record appends one record. Low principals and names come more often than high ones, as in life.
func (w *bulkWriter) record(b []byte, account, region string, at time.Time, r *rand.Rand) []byte {
	u, v := r.Float64(), r.Float64()
	who := int64(u * u * float64(w.o.Principals))
	s := &w.shapes[int(v*v*float64(len(w.shapes)))]

	b = append(b, `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE`...)
	b = strconv.AppendInt(b, 100000000+who, 10)
	b = append(b, `","arn":"arn:aws:iam::`...)
	b = append(b, account...)
	b = append(b, `:user/person-`...)
	b = strconv.AppendInt(b, who, 10)
	b = append(b, `","accountId":"`...)
	b = append(b, account...)
	b = append(b, `","accessKeyId":"AKIAEXAMPLE`...)
	b = strconv.AppendInt(b, 100000000+who, 10)
	b = append(b, `","userName":"person-`...)
	b = strconv.AppendInt(b, who, 10)
	b = append(b, `"},"eventTime":"`...)
	b = at.AppendFormat(b, time.RFC3339)
	b = append(b, s.source...)
	b = append(b, region...)
	b = append(b, `","sourceIPAddress":"192.0.2.`...)
	b = strconv.AppendInt(b, who%256, 10)
	b = append(b, s.agent...)
	b = appendUUID(b, [2]uint64{r.Uint64(), r.Uint64()})
	b = append(b, `","eventID":"`...)
	b = appendUUID(b, [2]uint64{r.Uint64(), r.Uint64()})
	b = append(b, s.end...)
	b = append(b, account...)
	return append(b, `"}`...)
}

func bulkRegion(n int) string {
	known := [...]string{"us-east-1", "eu-central-1", "eu-west-1", "ap-southeast-1", "us-west-2", "sa-east-1", "ap-south-1"}
	if n < len(known) {
		return known[n]
	}
	return "invented-" + strconv.Itoa(n)
}
