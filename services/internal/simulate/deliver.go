package simulate

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"
)

// A delivery puts records into objects as the vendors do: every five minutes one object for each region that had
// something, minutes after the call, not quite in order, and now and then twice.
type delivery struct {
	format  format
	seed    uint64
	account string
	repeats int
}

const (
	// slotSeconds is the time between two objects of a region.
	slotSeconds = 5 * minute

	// mostDelay is the longest a record waits for its slot: slot and wait together are at most the 10 minutes measured
	// on real trails.
	mostDelay = 5 * minute

	// repeated is the share of events that come twice: both vendors deliver at least once.
	repeated = 0.002
)

// A parcel is a call on its way.
type parcel struct {
	call *call
	slot int64 // Unix seconds, of the object that brings it
	wait int64 // seconds after the call; the order within a slot
}

// deliver gives out every object, region by region, in the order of time; its name is the path below the bucket. The body is valid
// until put returns.
func (d *delivery) deliver(calls []call, put func(Object) error) error {
	regions := map[string][]parcel{}
	for i := range calls {
		c := &calls[i]
		// Each call has its own luck, so that it does not depend on who else makes calls.
		r := rand.New(rand.NewPCG(c.id[0], c.id[1]))
		regions[c.region] = append(regions[c.region], send(c, r))
		if r.Float64() < repeated {
			d.repeats++
			regions[c.region] = append(regions[c.region], send(c, r))
		}
	}
	names := make([]string, 0, len(regions))
	for n := range regions {
		names = append(names, n)
	}
	slices.Sort(names)

	for _, region := range names {
		parcels := regions[region]
		slices.SortStableFunc(parcels, func(a, b parcel) int {
			return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.call.at+a.wait, b.call.at+b.wait))
		})
		if err := d.region(region, parcels, put); err != nil {
			return err
		}
	}
	return nil
}

// send draws when a record arrives. Most are quick: the cube of an even number leaves a third above 1.5 minutes.
func send(c *call, r *rand.Rand) parcel {
	u := r.Float64()
	wait := int64(10 + u*u*u*(mostDelay-10))
	return parcel{call: c, wait: wait, slot: (c.at + wait + slotSeconds - 1) / slotSeconds * slotSeconds}
}

// region packs the parcels of one region, slot by slot.
func (d *delivery) region(region string, parcels []parcel, put func(Object) error) error {
	open, sep, end := d.format.container()
	var body []byte
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	for len(parcels) > 0 {
		slot, n := parcels[0].slot, 0
		body = append(body[:0], open...)
		for ; n < len(parcels) && parcels[n].slot == slot; n++ {
			if n > 0 {
				body = append(body, sep...)
			}
			body = d.format.record(body, parcels[n].call)
		}
		body = append(body, end...)
		parcels = parcels[n:]

		packed.Reset()
		z.Reset(&packed)
		if _, err := z.Write(body); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		at := time.Unix(slot, 0).UTC()
		name := stream(d.seed, d.account, "object", region, at.Format(time.RFC3339))
		object := d.format.object(region, at, n, packed.Bytes(), name)
		if err := put(Object{Name: object, Time: at, Body: packed.Bytes(), Records: n, Size: len(body)}); err != nil {
			return err
		}
	}
	return nil
}
