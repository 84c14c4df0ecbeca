package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// form is one way in which ids may have been written when they were hashed.
type form struct {
	steps  decode.Normalisation
	topic  string // cluster/topic; empty: everywhere
	member store.Member
	guess  bool // nobody noted that it was used
}

// words names the form for people.
func (f form) words() string {
	if f.guess {
		return f.steps.String() + " (a guess)"
	}
	return f.steps.String()
}

// forms are all ways in which ids were ever written when they were hashed.
type forms struct {
	all     []form // as given is the first
	unnoted []store.Unnoted
}

// readForms asks the store what was ever done to ids. What an older version did
// was not noted: there, lower case is tried too, as the most usual.
func readForms(ctx context.Context, st *store.Store) (forms, error) {
	known, err := st.Normalisations(ctx)
	if err != nil {
		return forms{}, err
	}
	incarnations, err := st.Incarnations(ctx)
	if err != nil {
		return forms{}, err
	}
	f := forms{all: []form{{}}, unnoted: store.UnnotedTopics(incarnations, known)}
	add := func(o form) {
		same := func(k form) bool {
			return k.topic == o.topic && k.member == o.member && k.steps.Steps() == o.steps.Steps()
		}
		if !slices.ContainsFunc(f.all, same) {
			f.all = append(f.all, o)
		}
	}
	for _, k := range known {
		for _, rest := range k.Steps.Remainders() {
			add(form{steps: rest, topic: k.Topic, member: k.Member})
		}
	}
	for _, u := range f.unnoted {
		for _, m := range []store.Member{store.MemberSubject, store.MemberActor} {
			add(form{steps: decode.LowerCase(), topic: u.Topic, member: m, guess: true})
		}
	}
	return f, nil
}

// distinct returns what was ever done to ids, each once, as given first.
func (f forms) distinct() []decode.Normalisation {
	var all []decode.Normalisation
	seen := map[string]bool{}
	for _, o := range f.all {
		if key := o.steps.Steps(); !seen[key] {
			seen[key] = true
			all = append(all, o.steps)
		}
	}
	return all
}

// shownTopics bounds how many topics are named beside a form.
const shownTopics = 4

// where says whose ids are looked for under a form.
func (f forms) where(steps decode.Normalisation) string {
	var topics []string
	members := map[string][]string{}
	for _, o := range f.all {
		if o.steps.Steps() != steps.Steps() {
			continue
		}
		if o.topic == "" {
			return "in every topic"
		}
		topic := schema.Printable(o.topic)
		if o.guess {
			topic += " (a guess)"
		}
		if members[topic] == nil {
			topics = append(topics, topic)
		}
		members[topic] = append(members[topic], string(o.member)+"s")
	}
	var all []string
	for _, t := range topics[:min(len(topics), shownTopics)] {
		all = append(all, strings.Join(members[t], " and ")+" of "+t)
	}
	if more := len(topics) - shownTopics; more > 0 {
		all = append(all, fmt.Sprintf("and %d topics more", more))
	}
	return "in " + strings.Join(all, ", ")
}

// said writes under which forms ids were looked for, and what is not known.
func (f forms) said(hash decode.IDHash, ids [][]byte) string {
	var b strings.Builder
	b.WriteString("forms of the ids, which mappings change before they are hashed\n")
	var table [][]string
	for _, steps := range f.distinct() {
		fitting := 0
		for _, id := range ids {
			if _, ok := steps.Hash(hash, id); ok {
				fitting++
			}
		}
		where := f.where(steps)
		if fitting < len(ids) {
			where += fmt.Sprintf("; fits %d of %d ids: it expects them as the log has them", fitting, len(ids))
		}
		table = append(table, []string{"  " + schema.Printable(steps.String()), where})
	}
	for _, line := range alignNumbers(table, 2) {
		b.WriteString(line + "\n")
	}
	for _, u := range f.unnoted[:min(len(f.unnoted), shownTopics)] {
		until := ""
		if !u.Until.IsZero() {
			until = " before " + u.Until.UTC().Format("2006-01-02 15:04 UTC")
		}
		fmt.Fprintf(&b, "Of %s it is not known what was done to ids%s: an older version counted it, which did not note that.\n", schema.Printable(u.Topic), until)
	}
	if more := len(f.unnoted) - shownTopics; more > 0 {
		fmt.Fprintf(&b, "Nor is it known of %d topics more.\n", more)
	}
	if len(f.unnoted) > 0 {
		b.WriteString("There, lower case is a guess: if the mapping did something else then, give the ids as it made them.\n")
	}
	return b.String()
}

// trial is one hash to look for, of the person on a line.
type trial struct {
	store.Sought
	form
	line int // from 1
}

// asked are the people whom a command is about.
type asked struct {
	forms
	hash   decode.IDHash
	ids    [][]byte // by line; never printed
	trials []trial  // of each line, as given first
}

func (f forms) of(hash decode.IDHash, ids [][]byte) asked {
	q := asked{forms: f, hash: hash, ids: ids}
	for i, id := range ids {
		for _, o := range f.all {
			if h, ok := o.steps.Hash(hash, id); ok {
				q.trials = append(q.trials, trial{store.Sought{Hash: h, Topic: o.topic, Member: o.member}, o, i + 1})
			}
		}
	}
	return q
}

// sought returns each hash once, with guesses or without.
func (q asked) sought(guesses bool) []store.Sought {
	var all []store.Sought
	seen := map[store.Sought]bool{}
	for _, l := range q.trials {
		if !seen[l.Sought] && (guesses || !l.guess) {
			seen[l.Sought] = true
			all = append(all, l.Sought)
		}
	}
	return all
}

// trialsByHash returns the trials of each hash, to tell whose a touch is.
func (q asked) trialsByHash() map[uint64][]trial {
	byHash := map[uint64][]trial{}
	for _, l := range q.trials {
		byHash[l.Hash] = append(byHash[l.Hash], l)
	}
	return byHash
}

// said writes under which forms the people were looked for.
func (q asked) said() string { return q.forms.said(q.hash, q.ids) }
