package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dchest/siphash"

	"github.com/overreach/overreach/detectors/window"
)

// cellKey is a usage key in a bucket of one resolution.
type cellKey struct {
	resolution                       string
	bucket                           int64
	partner, app, capability, action string
}

// cellSums are what a cell holds, counted with maps.
type cellSums struct {
	accesses, attempts uint64
	records            uint64 // as the raw rows of the accesses say
	mixed              bool   // two readings share a batch that reaches into it
	subjects           map[string]bool
	actors, bystanders map[string]bool // by day alone
}

// differences compares the tables of a database with what the log says: raw rows
// and rejects one by one, counters and distinct counts cell by cell, coverage.
func (l *tortureLog) differences(ask func(string) ([]string, error)) []string {
	var all []string
	compare := func(what, sql string, want []string) {
		got, err := ask(sql)
		if err != nil {
			all = append(all, fmt.Sprintf("%s: %v", what, err))
			return
		}
		all = append(all, lineDifferences(what, got, want)...)
	}
	places := slices.SortedFunc(maps.Keys(l.placed), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	var raw, rejects []string
	var events, unreadable [torturePartitions]int64
	cells := map[cellKey]*cellSums{}
	readings, odd := readingsOf(ask)
	all = append(all, odd...)
	for _, p := range places {
		e := l.placed[p]
		if e.unreadable {
			unreadable[p.partition]++
			continue
		}
		if e.reject != "" {
			rejects = append(rejects, fmt.Sprintf("%d\t%d\t0\t%s", p.partition, p.offset, e.reject))
			continue
		}
		events[p.partition]++
		raw = append(raw, fmt.Sprintf("%d\t%d\t0\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%d", p.partition, p.offset, e.at, e.Partner, e.App, e.Capability, e.Action,
			e.ID, e.Status, hashed(e.Subject)))
		for resolution, seconds := range map[string]int64{"minute": 60, "hour": 3600, "day": 86400} {
			k := cellKey{resolution, e.at / 1000 / seconds * seconds, e.Partner, e.App, e.Capability, e.Action}
			c := cells[k]
			if c == nil {
				c = &cellSums{subjects: map[string]bool{}, actors: map[string]bool{}, bystanders: map[string]bool{}}
				cells[k] = c
			}
			if e.attempt() {
				c.attempts++
				continue
			}
			c.accesses++
			c.records += readings[p].records
			c.mixed = c.mixed || readings[p].mixed
			c.subjects[e.Subject] = true
			if resolution == "day" && e.Actor != "" {
				c.actors[e.Actor] = true
				if e.Actor != e.Subject {
					c.bystanders[e.Subject] = true
				}
			}
		}
	}
	compare("raw rows", `SELECT partition, offset, item, toUnixTimestamp64Milli(time), partner, app, capability, action, id, status, subject
		FROM access_events ORDER BY partition, offset, item`, raw)
	compare("rejects", "SELECT partition, offset, item, reason FROM rejects ORDER BY partition, offset, item", rejects)

	ends, _ := l.ends()
	var coverage []string
	for p, end := range ends {
		coverage = append(coverage, fmt.Sprintf("%d\t0\t%d\t%d\t0\t%d\t%d\t0\t%d",
			p, end, end-unreadable[p], events[p], end-unreadable[p]-events[p], unreadable[p]))
	}
	compare("coverage", "SELECT partition, from_offset, to_offset, records, missing, events, rejected, filtered, unreadable FROM coverage ORDER BY partition", coverage)
	return append(all, cellDifferences(ask, cells)...)
}

func hashed(id string) uint64 {
	return siphash.Hash(0x0706050403020100, 0x0f0e0d0c0b0a0908, []byte(id)) // under the tests' hash.key
}

// reading says how a raw row was read.
type reading struct {
	records uint64 // what its reading says of each call
	mixed   bool   // the marker of its batch says that two readings share it
}

// readingsOf asks how each event was read. A batch is written at once, so that
// its rows were read alike.
func readingsOf(ask func(string) ([]string, error)) (_ map[place]reading, differences []string) {
	rows, err := ask(`SELECT e.partition, e.offset, e.records, m.mixed, m.from_offset
		FROM access_events AS e
		ASOF LEFT JOIN (SELECT partition, from_offset, max(u.mixed) AS mixed FROM usage AS u WHERE kind = 'range'
			GROUP BY partition, from_offset HAVING max(to_offset) > from_offset) AS m
		ON e.partition = m.partition AND e.offset >= m.from_offset`)
	if err != nil {
		return nil, []string{"readings: " + err.Error()}
	}
	all, batches := map[place]reading{}, map[place]uint64{}
	for _, row := range rows {
		var p, batch place
		var r reading
		var mixed int
		if _, err := fmt.Sscanf(row, "%d\t%d\t%d\t%d\t%d", &p.partition, &p.offset, &r.records, &mixed, &batch.offset); err != nil {
			return nil, append(differences, fmt.Sprintf("readings: %q: %v", row, err))
		}
		r.mixed, batch.partition = mixed == 1, p.partition
		all[p] = r
		if before, ok := batches[batch]; ok && before != r.records {
			differences = append(differences, fmt.Sprintf("raw rows: the batch at %v holds rows of two readings", batch))
		}
		batches[batch] = r.records
	}
	return all, differences
}

// cellDifferences compares counters, and the states of people decoded. What was
// counted of a batch was read as its raw rows were, unless its marker says mixed.
func cellDifferences(ask func(string) ([]string, error), cells map[cellKey]*cellSums) []string {
	rows, err := ask(`SELECT resolution, toUnixTimestamp(bucket), partner, app, capability, action, sum(accesses), sum(attempts), sum(records),
		hex(CAST(uniqCombined64MergeState(14)(subjects) AS String)), hex(CAST(uniqCombined64MergeState(14)(actors) AS String)),
		hex(CAST(uniqCombined64MergeState(14)(bystanders) AS String))
		FROM usage WHERE kind = 'usage' GROUP BY resolution, bucket, partner, app, capability, action`)
	if err != nil {
		return []string{"usage: " + err.Error()}
	}
	var all []string
	seen := 0
	for _, row := range rows {
		f := strings.Split(row, "\t")
		bucket, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return append(all, "usage: "+err.Error())
		}
		k := cellKey{f[0], bucket, f[2], f[3], f[4], f[5]}
		want := cells[k]
		if want == nil {
			all = append(all, fmt.Sprintf("usage: %v is there and should not be", k))
			continue
		}
		seen++
		if got := f[6] + " " + f[7]; got != fmt.Sprintf("%d %d", want.accesses, want.attempts) {
			all = append(all, fmt.Sprintf("usage: %v has accesses and attempts %s, should have %d %d", k, got, want.accesses, want.attempts))
		}
		if !want.mixed && f[8] != fmt.Sprint(want.records) {
			all = append(all, fmt.Sprintf("usage: %v was read otherwise than its raw rows, and no marker says so: records %s, should be %d", k, f[8], want.records))
		}
		for i, people := range []map[string]bool{want.subjects, want.actors, want.bystanders} {
			if why := sketchDiffers(f[9+i], people); why != "" {
				all = append(all, fmt.Sprintf("usage: %s of %v: %s", []string{"subjects", "actors", "bystanders"}[i], k, why))
			}
		}
	}
	if seen != len(cells) {
		all = append(all, fmt.Sprintf("usage: %d cells are there, should be %d", seen, len(cells)))
	}
	return all
}

// sketchDiffers says how a state differs from a set of people: while it is exact,
// one by one; later by its estimate, which is the same for the same people.
func sketchDiffers(state string, people map[string]bool) string {
	bytes, err := hex.DecodeString(state)
	if err != nil {
		return err.Error()
	}
	var got, want window.Sketch
	if err := got.Unmarshal(bytes); err != nil {
		return err.Error()
	}
	for id := range people {
		want.Add(hashed(id))
	}
	if n, ok := got.Exact(); ok && n != len(people) {
		return fmt.Sprintf("%d, should be %d", n, len(people))
	}
	before := got.Estimate()
	got.Merge(&want)
	if after := got.Estimate(); after != before || before != want.Estimate() {
		return fmt.Sprintf("estimate %v, should be %v, together %v", before, want.Estimate(), after)
	}
	return ""
}

// lineDifferences names the lines that only one of two sorted-alike tables has,
// counting how often.
func lineDifferences(what string, got, want []string) []string {
	if slices.Equal(got, want) {
		return nil
	}
	count := map[string]int{}
	for _, line := range got {
		count[line]++
	}
	for _, line := range want {
		count[line]--
	}
	var all []string
	for _, line := range slices.Sorted(maps.Keys(count)) {
		switch n := count[line]; {
		case n > 0:
			all = append(all, fmt.Sprintf("%s: %d too many of: %s", what, n, line))
		case n < 0:
			all = append(all, fmt.Sprintf("%s: %d too few of: %s", what, -n, line))
		}
	}
	if all == nil {
		all = append(all, what+": the same lines in another order")
	}
	return all
}

// changeDifferences compares the changes with the findings: each finding has one new
// change, no change repeats the one before it, and the last change is the finding's state.
func changeDifferences(ask func(string) ([]string, error)) []string {
	var all []string
	for what, sql := range map[string]string{
		"a finding without a change": "SELECT id, sentence FROM findings_log FINAL WHERE state != 'withdrawn' AND id NOT IN (SELECT id FROM finding_changes)",
		"more than one new change":   "SELECT id, count() FROM finding_changes WHERE change IN ('new', 'continued') GROUP BY id HAVING count() > 1",
		"the same change twice in a row": `SELECT id, reported, change, state, severity FROM (
			SELECT id, reported, change, state, severity, lagInFrame(state || severity) OVER (PARTITION BY id ORDER BY reported, offsets ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
			FROM finding_changes) WHERE state || severity = before`,
		"an open finding whose last change says otherwise": `SELECT f.id, f.severity, c.state FROM (SELECT id, severity FROM findings_log FINAL WHERE state = 'open') AS f
			INNER JOIN (SELECT id, argMax(state, (reported, offsets)) AS state FROM finding_changes GROUP BY id) AS c ON c.id = f.id WHERE c.state != 'open'`,
	} {
		rows, err := ask(sql)
		if err != nil {
			rows = []string{err.Error()}
		}
		for _, row := range rows {
			all = append(all, what+": "+row)
		}
	}
	return all
}
