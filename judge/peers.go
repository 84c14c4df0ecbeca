package judge

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// peerDays is the greatest bucket of each day of one partner in one capability.
type peerDays struct {
	partner         string
	accesses, bytes []float64
}

// peers are, by capability, what registered partners did at most in a bucket of
// each day from first on; an empty capability is all of them.
type peers struct {
	first, last  schema.Day
	byCapability map[string][]peerDays
}

// addPeers adds what peers did to the answers to those questions that are about
// keys too young to be compared with themselves.
func (r *round) addPeers(ctx context.Context, step schema.Resolution, questions []asked, asking []int, answers []usage.Answer) error {
	first, last := questions[asking[0]].Period, schema.Day(0)
	for _, i := range asking {
		first, last = min(first, questions[i].Period-usage.PeerDays), max(last, questions[i].Period)
	}
	for _, i := range asking {
		if !young(answers[i].Series) {
			continue
		}
		if r.peers == nil || r.peers.first != first || r.peers.last != last {
			if err := r.readPeers(ctx, step, first, last); err != nil {
				return err
			}
		}
		answers[i].Peers = r.peers.of(&questions[i].Question)
	}
	return nil
}

// young reports whether one of the series began within PeerDays before its end.
func young(all []usage.Series) bool {
	for i := range all {
		s := &all[i]
		past := max(0, s.Buckets()-(usage.PeerDays+1)*int(schema.DaySeconds/s.Step.Seconds()))
		if !slices.ContainsFunc(s.Values[usage.Accesses][:past], func(v float64) bool { return v > 0 }) {
			return true
		}
	}
	return false
}

func (r *round) readPeers(ctx context.Context, step schema.Resolution, first, last schema.Day) error {
	names := slices.Sorted(maps.Keys(r.registry.Partners))
	peaks, err := r.judge.store.Peaks(ctx, schema.SeriesQuery{Resolution: step, From: first.Second(), To: last.Second(), Partners: names, Capabilities: slices.Sorted(maps.Keys(r.registry.Capabilities))})
	if err != nil {
		return fmt.Errorf("reading peers: %w", err)
	}
	r.peers = &peers{first: first, last: last, byCapability: map[string][]peerDays{}}
	days := int(last - first)
	for i := range peaks {
		p := &peaks[i]
		all := r.peers.byCapability[p.Capability]
		if len(all) == 0 || all[len(all)-1].partner != p.Partner { // they come partner by partner
			all = append(all, peerDays{p.Partner, make([]float64, days), make([]float64, days)})
			r.peers.byCapability[p.Capability] = all
		}
		one := all[len(all)-1]
		one.accesses[p.Day-first], one.bytes[p.Day-first] = float64(p.Accesses), float64(p.Bytes)
	}
	return nil
}

// of returns what the others did in the days before a question.
func (p *peers) of(q *usage.Question) (greatest [len(usage.Metrics)][]float64) {
	from, to := q.Period-usage.PeerDays-p.first, q.Period-p.first
	for _, one := range p.byCapability[q.Capability] {
		if one.partner == q.Partner {
			continue
		}
		accesses, bytes := 0.0, 0.0
		for d := from; d < to; d++ {
			accesses, bytes = max(accesses, one.accesses[d]), max(bytes, one.bytes[d])
		}
		greatest[usage.Accesses] = append(greatest[usage.Accesses], accesses)
		greatest[usage.Bytes] = append(greatest[usage.Bytes], bytes)
	}
	greatest[usage.People] = greatest[usage.Accesses]
	return greatest
}
