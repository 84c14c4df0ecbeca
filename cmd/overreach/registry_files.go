package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dchest/siphash"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/detectors/window"
	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/schema/registry"
)

// seenInFiles sums up what partners did by files of events.
func seenInFiles(ctx context.Context, a *app, files []string, mapping string) ([]registry.Seen, error) {
	encoding, err := decode.Open(mapping)
	if err != nil {
		return nil, err
	}
	u := fileUsage{reader: encoding.NewReader(schema.DefaultTimeLimits()), now: time.Now().UnixMilli(), minutes: map[minuteKey]*minuteCell{}}
	for _, file := range files {
		if err := u.read(ctx, file); err != nil {
			return nil, err
		}
	}
	if u.rejected > 0 {
		a.log.Warn().Int("lines", u.rejected).Int("events", u.events).Int("filtered", u.filtered).Str("first", u.firstReject).
			Msg("some lines are no events")
	}
	if u.events == 0 && u.rejected > 0 {
		return nil, fmt.Errorf("none of %d lines is an event: %s", u.rejected+u.filtered, u.firstReject)
	}
	return seenBy(ctx, &u)
}

// fileUsage is the usage that files tell of: people by minute for each scope of
// each partner, kept in memory.
type fileUsage struct {
	reader  decode.Reader
	now     int64 // stands for the records' Kafka time, milliseconds since 1970
	minutes map[minuteKey]*minuteCell

	events, rejected, filtered int
	firstReject                string // file:line: why

	cells map[cellsKey][]schema.UsageCell // rolled up when asked for
}

type minuteKey struct {
	partner, capability string
	action              schema.Action
	minute              int64 // since 1970
}

type minuteCell struct{ people window.Sketch }

type cellsKey struct {
	partner    string
	resolution schema.Resolution
}

// read counts the lines of a file, plain or packed with gzip or zstd.
func (u *fileUsage) read(ctx context.Context, name string) error {
	n := 0
	for line, err := range replay.LinesOf(name) {
		if err != nil {
			return fmt.Errorf("--from %s: %w", name, err)
		}
		if n++; len(bytes.TrimSpace(line)) > 0 {
			u.add(line, name, n)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (u *fileUsage) add(line []byte, file string, n int) {
	events, rejects, filtered := u.reader.Read(line, u.now)
	u.events += len(events)
	u.rejected += len(rejects)
	u.filtered += filtered
	if len(rejects) > 0 && u.firstReject == "" {
		u.firstReject = fmt.Sprintf("%s:%d: %s", file, n, rejects[0].Detail)
	}
	for i := range events {
		e := &events[i]
		k := minuteKey{string(e.Partner), string(e.Capability), e.Action, window.Bucket(e.Time, 60_000)}
		c := u.minutes[k]
		if c == nil {
			c = &minuteCell{}
			u.minutes[k] = c
		}
		if !e.Attempt() {
			c.people.Add(siphash.Hash(0, 0, e.Subject)) // stays in this process, so any key will do
		}
	}
}

// Usage implements usageReader, for queries by capability, action and bucket.
func (u *fileUsage) Usage(_ context.Context, q schema.UsageQuery) ([]schema.UsageCell, error) {
	if u.cells == nil {
		u.rollUp()
	}
	var found []schema.UsageCell
	for k, cells := range u.cells {
		if k.resolution != q.Resolution || q.Partners != nil && !slices.Contains(q.Partners, k.partner) {
			continue
		}
		for _, c := range cells {
			if c.Bucket >= q.From && c.Bucket < q.To {
				found = append(found, c)
			}
		}
	}
	return found, nil
}

// rollUp turns minutes into cells of minutes, hours and days.
func (u *fileUsage) rollUp() {
	type cellKey struct {
		minuteKey // of the bucket's first minute
		schema.Resolution
	}
	sums := map[cellKey]*window.Sketch{}
	for k, c := range u.minutes {
		for r := schema.Minute; r <= schema.Daily; r++ {
			of := k
			of.minute = window.Start(k.minute, r.Seconds()/60)
			key := cellKey{of, r}
			if sums[key] == nil {
				sums[key] = &window.Sketch{}
			}
			sums[key].Merge(&c.people)
		}
	}
	u.minutes, u.cells = nil, map[cellsKey][]schema.UsageCell{}
	for k, people := range sums {
		at := cellsKey{k.partner, k.Resolution}
		u.cells[at] = append(u.cells[at], schema.UsageCell{
			UsageKey: schema.UsageKey{Partner: k.partner, Capability: k.capability, Action: k.action},
			Bucket:   k.minute * 60, Subjects: people.MarshalAppend(nil),
		})
	}
}
