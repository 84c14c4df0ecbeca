package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// fileStripe is how many records of a run stand behind one another in a partition:
// about a batch of the replay's, of events of 300 bytes.
const fileStripe = 1000

// inputs are what a run is given to read.
type inputs struct {
	files []string // that can be read twice, so recognised
	pipes []string // standard input, and what else can be read once
}

// findInputs makes sure that all files are there.
func findInputs(names []string) (inputs, error) {
	var in inputs
	for _, name := range names {
		if name == replay.Stdin {
			in.pipes = append(in.pipes, name)
			continue
		}
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return in, fmt.Errorf("--from: %w", err)
		case info.IsDir():
			return in, fmt.Errorf("--from %s: it is a folder: name the files in it", name)
		case info.Mode().IsRegular():
			in.files = append(in.files, name)
		default:
			in.pipes = append(in.pipes, name)
		}
	}
	return in, nil
}

// filePlan is what a run counts of its files.
type filePlan struct {
	files []store.File // without their incarnation
	pipes []string     // behind the files, since nobody knows how many records they have
	empty []string     // files without a record

	// again has a sentence for each file that was counted and is left out.
	again []string
	// unjudged says that the run before ended before it had judged what it counted.
	unjudged bool
}

// planFiles finds out what of the files is not counted yet. What is counted
// follows from the markers alone, through what the table files says of where each
// record of a file was sent: a record that was sent and has no marker is not counted.
func planFiles(ctx context.Context, log zerolog.Logger, st *store.Store, in inputs, again bool) (*filePlan, error) {
	known, err := st.Files(ctx)
	if err != nil {
		return nil, err
	}
	extents, err := st.Extents(ctx)
	if err != nil {
		return nil, err
	}
	plan := &filePlan{pipes: in.pipes, unjudged: len(known) > 0 && !known[len(known)-1].Judged}
	ledger := newFileLedger(known, extents)
	started := time.Now().UTC().Truncate(time.Millisecond)
	next := int64(0)
	for _, name := range in.files {
		content, err := replay.Inspect(ctx, name, ledger.beginnings())
		if err != nil {
			return nil, fmt.Errorf("--from %s: %w", name, err)
		}
		if content.Records == 0 {
			log.Warn().Str("file", name).Msg("the file is empty")
			plan.empty = append(plan.empty, name)
			continue
		}
		was := ledger.find(content)
		counting, rest := was.counting, was.records.Rest(content.Records)
		if again && (len(rest) == 0 || !was.interrupted) {
			counting, rest, was.records = was.counting+1, replay.Spans{{From: 0, To: content.Records}}, nil
		}
		if len(rest) == 0 {
			plan.again = append(plan.again, fmt.Sprintf("%s was counted%s", name, was.where(name)))
			continue
		}
		if n := was.records.Len(); n > 0 {
			log.Info().Str("file", name).Int64("counted", n).Int64("of", content.Records).Int64("going_on_at_record", rest[0].From+1).
				Msg("a part of the file was counted" + was.where(name) + "; what is left is counted now")
		}
		if was.half {
			log.Info().Str("file", name).Int64("record", rest[0].From+1).Msg("this record was counted before its line was whole; it is counted now")
		}
		f := store.File{
			File: uint32(len(plan.files)), Name: name, SHA256: content.SHA256, ButLast: content.ButLast, Records: uint64(content.Records), //nolint:gosec // numbers of records
			Counting: max(counting, 1), First: uint64(next), Stripe: fileStripe, Partitions: localPartitions, Started: started, //nolint:gosec // see above
		}
		for _, span := range rest {
			f.From, f.To = append(f.From, uint64(span.From)), append(f.To, uint64(span.To)) //nolint:gosec // see above
		}
		next += rest.Len()
		plan.files = append(plan.files, f)
		ledger.plan(f)
	}
	if len(plan.pipes) > 0 {
		log.Warn().Strs("from", plan.pipes).
			Msg("standard input and pipes cannot be recognised: to count the same records from there again counts them twice")
	}
	return plan, plan.check()
}

// check refuses a run that has nothing to do.
func (p *filePlan) check() error {
	if len(p.files)+len(p.pipes) > 0 || len(p.again) > 0 && p.unjudged {
		return nil
	}
	var errs []error
	for _, name := range p.empty {
		errs = append(errs, fmt.Errorf("%s is empty: there is nothing to count", name))
	}
	for _, sentence := range p.again {
		errs = append(errs, errors.New(sentence+": to count it once more would double its accesses; --again does so"))
	}
	return errors.Join(errs...)
}

// sent returns which records of a file were sent, by their numbers in it.
func sent(f *store.File) replay.Spans {
	var all replay.Spans
	for i := range f.From {
		all = append(all, replay.Span{From: int64(f.From[i]), To: int64(f.To[i])}) //nolint:gosec // numbers of records
	}
	return all
}

// fileLedger knows which records of which contents are counted.
type fileLedger struct{ entries []fileEntry }

// fileEntry is one file of one run.
type fileEntry struct {
	store.File
	counted replay.Spans // by their numbers in the file
}

// newFileLedger makes a ledger from what the table files holds and from how far each
// partition is counted. A run without an event counted nothing: its mapping may have
// been forgotten.
func newFileLedger(known []store.File, extents []schema.Marker) *fileLedger {
	events := map[string]uint64{}
	for _, e := range extents {
		events[e.Incarnation] += e.Events
	}
	to := map[string]map[int32]int64{}
	for _, e := range extents {
		if events[e.Incarnation] == 0 {
			continue
		}
		if to[e.Incarnation] == nil {
			to[e.Incarnation] = map[int32]int64{}
		}
		to[e.Incarnation][e.Partition.Partition] = e.To
	}
	l := &fileLedger{}
	inRun := map[string]replay.Spans{} // by their numbers in the run
	for _, f := range known {
		counted, ok := inRun[f.Incarnation]
		if !ok {
			stripes := replay.Stripes{Records: int64(f.Stripe), Partitions: int64(f.Partitions)} //nolint:gosec // small numbers
			for partition, end := range to[f.Incarnation] {
				counted = counted.With(stripes.Below(partition, end)...)
			}
			inRun[f.Incarnation] = counted
		}
		l.entries = append(l.entries, fileEntry{f, countedOf(&f, counted)})
	}
	return l
}

// countedOf returns which records of a file are among those of its run that are
// counted.
func countedOf(f *store.File, inRun replay.Spans) replay.Spans {
	records, first := sent(f), int64(f.First) //nolint:gosec // a number of records
	end := first + records.Len()
	var counted replay.Spans
	for _, span := range inRun {
		if from, to := max(span.From, first), min(span.To, end); from < to {
			counted = counted.With(records.At(replay.Span{From: from - first, To: to - first})...)
		}
	}
	return counted
}

// plan adds a file that this run counts.
func (l *fileLedger) plan(f store.File) { l.entries = append(l.entries, fileEntry{f, sent(&f)}) }

// beginnings are the numbers of records at which a file may turn out to be one
// that is known.
func (l *fileLedger) beginnings() []int64 {
	var all []int64
	for _, e := range l.entries {
		all = append(all, int64(e.Records), int64(e.Records)-1) //nolint:gosec // a number of records
	}
	return all
}

// known is what is known of a content.
type known struct {
	counting    uint32       // the latest of it; 0: none
	records     replay.Spans // that this counting has counted
	interrupted bool         // the counting was to count all of it, and did not
	half        bool         // the last record was counted before its line was whole
	as          *store.File  // of the latest run that counted any of it
}

// find returns what is known of a content: of files that were the same, or that
// it begins with.
func (l *fileLedger) find(c replay.Content) known {
	var was known
	for i := range l.entries {
		e := &l.entries[i]
		n := int64(e.Records) //nolint:gosec // a number of records
		counted, half := e.counted, false
		switch {
		case n == 0:
			continue
		case c.Beginnings[n] == e.SHA256:
		case e.ButLast != "" && c.Beginnings[n-1] == e.ButLast && n > 1:
			counted, half = counted.Before(n-1), counted.Len() > 0 && n <= c.Records
		default:
			continue
		}
		if e.Counting > was.counting {
			was = known{counting: e.Counting}
		}
		if e.Counting < was.counting {
			continue
		}
		was.records = was.records.With(counted...)
		was.interrupted = was.interrupted || n == c.Records && c.SHA256 == e.SHA256
		was.half = half
		if counted.Len() > 0 {
			was.as = &e.File
		}
	}
	return was
}

// where says when a content was counted, and under which name where that was
// another.
func (k *known) where(name string) string {
	if k.as == nil {
		return ""
	}
	if k.as.Incarnation == "" {
		return fmt.Sprintf(" in this run, as %s", k.as.Name)
	}
	text := " on " + k.as.Started.UTC().Format("2006-01-02 15:04 UTC")
	if k.as.Name != name {
		text += ", as " + k.as.Name
	}
	return text
}
