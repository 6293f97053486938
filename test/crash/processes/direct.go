//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

func (w *world) direct(ctx context.Context, over time.Duration) error {
	sink, err := tvjetstream.NewSink(w.js)
	if err != nil {
		return err
	}
	var seq [lanes]uint64
	put := func(lane int, token string, body []byte) error {
		seq[lane]++
		for {
			_, err := sink.Put(ctx, runner.Output{Subject: schemas.RawSubject(lane, token), Body: body, Producer: "ingest.x", Number: schemas.Number{Seq: seq[lane]}})
			if err == nil || ctx.Err() != nil {
				return err
			}
			_ = sleep(ctx, pollEvery)
		}
	}
	s := schemas.DefaultSettings()
	for lane := range lanes {
		if err := put(lane, string(schemas.SettingsControl), s.Append(nil)); err != nil {
			return err
		}
	}
	for _, files := range w.input.hours {
		for _, name := range files {
			raw, err := os.ReadFile(filepath.Join(w.input.from, name))
			if err != nil {
				return err
			}
			z, err := gzip.NewReader(bytes.NewReader(raw))
			if err != nil {
				return err
			}
			text, err := io.ReadAll(z)
			if err != nil {
				return err
			}
			format := "actiontrail"
			var records []json.RawMessage
			if strings.Contains(name, "CloudTrail") {
				format = "cloudtrail"
				var o struct{ Records []json.RawMessage }
				err = json.Unmarshal(text, &o)
				records = o.Records
			} else {
				err = json.Unmarshal(text, &records)
			}
			if err != nil {
				return err
			}
			h := fnv.New32()
			top, _, _ := strings.Cut(name, "/")
			h.Write([]byte(top))
			c := schemas.Chunk{Object: name}
			for i, r := range records {
				c.Records = append(c.Records, schemas.RawRecord{Offset: int64(i * 2000), Body: r})
			}
			if err := put(int(h.Sum32()%lanes), format, c.Append(nil)); err != nil {
				return err
			}
		}
		if err := sleep(ctx, over/time.Duration(len(w.input.hours))); err != nil {
			return err
		}
	}
	return nil
}
