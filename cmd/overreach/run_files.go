package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/store"
)

// runFiles counts the files of the plan, judges them, prints the findings and says
// what became of the records.
func runFiles(ctx context.Context, a *app, l *local, s *service, plan *filePlan, f runFlags) error {
	stripes := replay.Stripes{Records: fileStripe, Partitions: localPartitions}
	where := &replay.Places{}
	for _, sentence := range plan.again {
		a.log.Warn().Msg(sentence + ", and is left out; --again counts it once more")
	}
	if len(plan.files)+len(plan.pipes) == 0 {
		a.log.Info().Msg("the run that counted it ended before all was judged; it is judged now")
	}
	err := s.run(ctx, func(ctx context.Context) error {
		err := s.replayed(ctx, l, func(ctx context.Context, incarnation string, to replay.Config) (replay.Result, error) {
			to.Stripes = &stripes
			sent, err := plan.send(ctx, l.store, incarnation, to)
			where = sent.Places
			return sent.Result, err
		})
		if err != nil {
			return err
		}
		return plan.judged(ctx, l.store)
	})
	if ctx.Err() != nil {
		return plan.interrupted(context.WithoutCancel(ctx), l.store)
	}
	if err != nil {
		return err
	}
	became := s.tally.take()
	if became.records > 0 && became.events == 0 && (became.filtered == 0 || became.rejected > 0) {
		became.write(a.stderr, plan.places(stripes, where))
		return plan.nothing(f)
	}
	if err := printFindings(ctx, a, l.store, f.json); err != nil {
		return err
	}
	became.write(a.stderr, plan.places(stripes, where))
	return plan.said(a.stderr, &became)
}

// said adds what the sums do not say by themselves.
func (p *filePlan) said(w io.Writer, became *outcome) error {
	switch {
	case len(p.files)+len(p.pipes) == 0:
	case became.records == 0:
		return fmt.Errorf("%s is empty: there is nothing to count", inputName(p.pipes[0]))
	case became.events == 0:
		_, _ = fmt.Fprintln(w, "Every item was filtered out by the mapping: nothing was there to be judged.")
	}
	return nil
}

// nothing is the error of a run in which no record became an event.
func (p *filePlan) nothing(f runFlags) error {
	sample, names := "FILE", []string(nil)
	for _, name := range p.pipes {
		names = append(names, inputName(name))
	}
	for _, file := range p.files {
		names, sample = append(names, file.Name), file.Name
	}
	hint := "records that are not in overreach's own JSON need --mapping: a file, or one of " + strings.Join(decode.Mappings(), ", ")
	if f.mapping != "" {
		sample += " --mapping " + f.mapping
		hint = "does the mapping " + f.mapping + " fit them?"
	}
	return fmt.Errorf("no record of %s became an event, so nothing was judged\n`overreach check --sample %s` shows what each becomes; %s\n"+
		"the rejects stay on record in %s, where they keep zeros from being proved: begin with a new folder if nothing else is in it",
		strings.Join(names, ", "), sample, hint, f.local)
}

// inputName is what people call an input.
func inputName(name string) string {
	if name == replay.Stdin {
		return "standard input"
	}
	return name
}

// places say where the records of the run stood in its files.
func (p *filePlan) places(stripes replay.Stripes, where *replay.Places) places {
	number := func(at kafkaPartition, offset int64) int64 { return stripes.Record(at.partition, offset) }
	return places{
		order: number,
		name: func(at kafkaPartition, offset int64) string {
			file, line, exact := where.Of(number(at, offset))
			if !exact {
				return fmt.Sprintf("%s:%d or later", inputName(file), line)
			}
			return fmt.Sprintf("%s:%d", inputName(file), line)
		},
	}
}

// send records what is to be sent, and sends it.
func (p *filePlan) send(ctx context.Context, st *store.Store, incarnation string, to replay.Config) (replay.Sent, error) {
	var parts []replay.Part
	for i := range p.files {
		f := &p.files[i]
		f.Incarnation = incarnation
		parts = append(parts, replay.Part{File: f.Name, Only: sent(f), Records: int64(f.Records)}) //nolint:gosec // a number of records
	}
	for _, name := range p.pipes {
		parts = append(parts, replay.Part{File: name})
	}
	// First, so that whatever comes to be counted is known to be of these files.
	if err := st.WriteFiles(ctx, p.files); err != nil {
		return replay.Sent{Places: &replay.Places{}}, err
	}
	result, err := replay.Parts(ctx, to, parts...)
	if ctx.Err() != nil {
		return result, errors.Join(ctx.Err(), err)
	}
	return result, errors.Join(err, p.compare(ctx, st, result.Contents))
}

// compare holds what was read against what the plan was made for, and records what
// was read where a file has changed meanwhile.
func (p *filePlan) compare(ctx context.Context, st *store.Store, read []replay.Content) error {
	var changed, cut []string
	for i, c := range read {
		f := &p.files[i]
		if c.SHA256 == f.SHA256 && c.Records == int64(f.Records) { //nolint:gosec // a number of records
			continue
		}
		changed = append(changed, f.Name)
		if c.Records < int64(f.Records) { //nolint:gosec // see above
			cut = append(cut, f.Name)
		}
		f.SHA256, f.ButLast, f.Records = c.SHA256, c.ButLast, uint64(c.Records) //nolint:gosec // see above
	}
	if len(changed) == 0 {
		return nil
	}
	if err := st.WriteFiles(ctx, p.files); err != nil {
		return err
	}
	if len(cut) > 0 {
		return fmt.Errorf("%s became shorter while it was read: what was read is counted", strings.Join(cut, ", "))
	}
	return nil
}

// judged records that all that was counted is judged.
func (p *filePlan) judged(ctx context.Context, st *store.Store) error {
	done := p.files
	if len(done) == 0 && p.unjudged { // an earlier run's
		known, err := st.Files(ctx)
		if err != nil {
			return err
		}
		for _, f := range known {
			if !f.Judged {
				done = append(done, f)
			}
		}
	}
	for i := range done {
		done[i].Judged = true
	}
	return st.WriteFiles(ctx, done)
}

// readAtEnd is how long reading may take after a Ctrl-C.
const readAtEnd = 5 * time.Second

// interrupted says how to go on after a Ctrl-C.
func (p *filePlan) interrupted(ctx context.Context, st *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, readAtEnd)
	defer cancel()
	extents, err := st.Extents(ctx)
	if err != nil {
		return fmt.Errorf("interrupted: what is counted stays, and the same command counts the rest; how much that is could not be read: %w", err)
	}
	now := newFileLedger(p.files, extents)
	lines := []string{"interrupted: what is counted stays"}
	left := false
	for _, e := range now.entries {
		was := sent(&e.File)
		if e.counted.Len() == was.Len() {
			continue
		}
		left = true
		before := int64(e.Records) - was.Len()                                                                                                         //nolint:gosec // a number of records
		lines = append(lines, fmt.Sprintf("%s: %s of %s are counted", e.Name, thousands(uint64(before+e.counted.Len())), plural(e.Records, "record"))) //nolint:gosec // see above
	}
	switch {
	case left:
		lines = append(lines, "the same command goes on at the first record that is not counted, and judges all of them")
	case len(p.files) > 0 || p.unjudged:
		lines = append(lines, "all records are counted; the same command judges them to the end")
	}
	for _, name := range p.pipes {
		lines = append(lines, fmt.Sprintf("%s cannot be gone on with: the same command would count twice what was counted of it", inputName(name)))
	}
	return errors.New(strings.Join(lines, "\n"))
}
