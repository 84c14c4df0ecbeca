package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/schema"
)

// sampleResult is what a mapping makes of a sample.
type sampleResult struct {
	Records  int              `json:"records"`
	Events   int              `json:"events"`
	Rejected int              `json:"rejected"`
	Filtered int              `json:"filtered"`
	First    []sampleEvent    `json:"first_events"`
	LeftOut  []sampleLeftOut  `json:"left_out"`
	Rejects  []*sampleRejects `json:"rejects"`

	people map[string]int // number of each person in the first events
}

// sampleEvent is one of the first events.
type sampleEvent struct {
	Record     int          `json:"record"` // line of the file, or element of its list, from 1
	Item       uint32       `json:"item"`
	Time       string       `json:"time"`
	Partner    string       `json:"partner"`
	App        string       `json:"app,omitempty"`
	Capability string       `json:"capability"`
	Action     string       `json:"action"`
	Status     int32        `json:"status,omitempty"`
	Subject    samplePerson `json:"subject"`
	Actor      samplePerson `json:"actor,omitzero"`
	APIVersion string       `json:"api_version,omitempty"`
	Grant      string       `json:"grant,omitempty"`
	Records    int64        `json:"records,omitempty"`
	Bytes      int64        `json:"bytes,omitempty"`
	HasID      bool         `json:"has_id,omitempty"`
}

// samplePerson stands for the id of a person, which is not shown: which one of
// those in the first events, in the order in which they come, and its length.
type samplePerson struct {
	Person int `json:"person"`
	Bytes  int `json:"bytes"`
}

func (p samplePerson) String() string {
	if p.Person == 0 {
		return "-"
	}
	return fmt.Sprintf("#%d (%d bytes)", p.Person, p.Bytes)
}

// sampleLeftOut is how many items a condition of the filter left out.
type sampleLeftOut struct {
	Condition string `json:"condition"`
	Items     int    `json:"items"`
}

// sampleRejects are the rejects of one kind, and the first of them.
type sampleRejects struct {
	Reason  schema.Reason `json:"reason"`
	Detail  string        `json:"detail"`
	Items   int           `json:"items"`
	Record  int           `json:"first_record"`
	Item    uint32        `json:"first_item"`
	Outline string        `json:"first_outline"`
}

// maxRejectKinds is how many kinds of rejects are told apart.
const maxRejectKinds = 100

// sampleOutline is how much of a reject's outline is shown, in bytes.
const sampleOutline = 300

// checkSample reads a file through a mapping, or as events where it has no name,
// and writes what came of it.
func checkSample(ctx context.Context, w io.Writer, f checkFlags) error {
	name, mapping := "none: events as they are", ""
	if len(f.mappings) > 0 {
		name, mapping = f.mappings[0], f.mappings[0]
	}
	encoding, err := decode.Open(mapping)
	if err != nil {
		return err
	}
	r, err := readSample(ctx, encoding.NewReader(schema.DefaultTimeLimits()), f.sample, f.limit)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if f.json {
		out := json.NewEncoder(printableJSON{&b})
		out.SetEscapeHTML(false)
		err = out.Encode(r)
	} else {
		fmt.Fprintf(&b, "mapping   %s: ok\n\n", name)
		err = r.write(&b)
	}
	if err != nil {
		return err
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return err
	}
	if r.Events == 0 {
		return fmt.Errorf("no event came of the %d records of %s: %d items are rejects, the filter left %d out", r.Records, f.sample, r.Rejected, r.Filtered)
	}
	return nil
}

func readSample(ctx context.Context, reader decode.Reader, file string, limit int) (*sampleResult, error) {
	r := &sampleResult{First: []sampleEvent{}, LeftOut: []sampleLeftOut{}, Rejects: []*sampleRejects{}, people: map[string]int{}}
	now := time.Now().UnixMilli() // stands for the records' Kafka time
	line := 0
	for record, err := range replay.LinesOf(file) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("--sample %s: %w", file, err)
		}
		if line++; len(bytes.TrimSpace(record)) == 0 {
			continue
		}
		r.Records++
		events, rejects, filtered := reader.Read(record, now)
		r.Events += len(events)
		r.Rejected += len(rejects)
		r.Filtered += filtered
		for i := range events {
			if len(r.First) < limit {
				r.First = append(r.First, r.event(line, &events[i]))
			}
		}
		for i := range rejects {
			r.reject(line, &rejects[i], reader.Outline)
		}
	}
	for _, l := range reader.LeftOut() {
		r.LeftOut = append(r.LeftOut, sampleLeftOut(l))
	}
	slices.SortStableFunc(r.Rejects, func(a, b *sampleRejects) int { return cmp.Compare(b.Items, a.Items) })
	return r, nil
}

func (r *sampleResult) event(line int, e *schema.Event) sampleEvent {
	return sampleEvent{
		Record: line, Item: e.Item, Time: time.UnixMilli(e.Time).UTC().Format("2006-01-02T15:04:05.000Z"),
		Partner: string(e.Partner), App: string(e.App), Capability: string(e.Capability), Action: e.Action.String(), Status: e.Status,
		Subject: r.person(e.Subject), Actor: r.person(e.Actor),
		APIVersion: string(e.APIVersion), Grant: string(e.Grant), Records: e.Records, Bytes: e.Bytes, HasID: len(e.ID) > 0,
	}
}

func (r *sampleResult) person(id []byte) samplePerson {
	if len(id) == 0 {
		return samplePerson{}
	}
	n, known := r.people[string(id)]
	if !known {
		n = len(r.people) + 1
		r.people[string(id)] = n
	}
	return samplePerson{n, len(id)}
}

func (r *sampleResult) reject(line int, why *schema.ItemReject, outline func(part []byte, limit int) string) {
	for _, k := range r.Rejects {
		if k.Reason == why.Reason && k.Detail == why.Detail {
			k.Items++
			return
		}
	}
	if len(r.Rejects) < maxRejectKinds {
		r.Rejects = append(r.Rejects, &sampleRejects{Reason: why.Reason, Detail: why.Detail, Items: 1,
			Record: line, Item: why.Item, Outline: outline(why.Part, sampleOutline)})
	}
}

// write writes the result for people to read.
func (r *sampleResult) write(b *bytes.Buffer) error {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		for i, c := range cells {
			cells[i] = cmp.Or(schema.Printable(c), "-")
		}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) // Flush tells
	}
	if len(r.First) > 0 {
		row("RECORD.ITEM", "TIME", "PARTNER", "APP", "CAPABILITY", "ACTION", "STATUS", "SUBJECT", "ACTOR")
	}
	for _, e := range r.First {
		status := ""
		if e.Status != 0 {
			status = strconv.Itoa(int(e.Status))
		}
		row(fmt.Sprintf("%d.%d", e.Record, e.Item), e.Time, e.Partner, e.App, e.Capability, e.Action, status, e.Subject.String(), e.Actor.String())
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(r.First) > 0 {
		fmt.Fprintf(b, "People are not shown, so that this can be shared: #1 is the first one above, #2 the next, with the length of the id.\n\n")
	}
	fmt.Fprintf(b, "%d records: %d events, %d left out, %d rejects\n", r.Records, r.Events, r.Filtered, r.Rejected)
	for i, l := range r.LeftOut {
		if i == 0 {
			fmt.Fprintf(b, "\nleft out, where this does not hold:\n")
		}
		fmt.Fprintf(b, "  %6d  %s\n", l.Items, schema.Printable(l.Condition))
	}
	told := 0
	for i, k := range r.Rejects {
		if i == 0 {
			fmt.Fprintf(b, "\nrejects:\n")
		}
		told += k.Items
		fmt.Fprintf(b, "  %6d  %s: %s\n          first %d.%d: %s\n", k.Items, k.Reason, schema.Printable(k.Detail), k.Record, k.Item, schema.Printable(k.Outline))
	}
	if told < r.Rejected {
		fmt.Fprintf(b, "  %6d  of more than %d kinds\n", r.Rejected-told, maxRejectKinds)
	}
	return nil
}
