package replay

import (
	"cmp"
	"slices"
)

// Span is the records of a sequence whose numbers, from 0, are in [From, To).
type Span struct{ From, To int64 }

// Spans are records of a sequence: ascending, none empty, no two that touch.
type Spans []Span

// Len returns how many records they hold.
func (s Spans) Len() int64 {
	var n int64
	for _, span := range s {
		n += span.To - span.From
	}
	return n
}

// With returns the records that are in s or among others, which may come in any
// order.
func (s Spans) With(others ...Span) Spans {
	all := slices.Concat(s, others)
	slices.SortFunc(all, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	var sum Spans
	for _, span := range all {
		switch last := len(sum) - 1; {
		case span.From >= span.To:
		case last >= 0 && span.From <= sum[last].To:
			sum[last].To = max(sum[last].To, span.To)
		default:
			sum = append(sum, span)
		}
	}
	return sum
}

// Rest returns the first n records of the sequence without those of s.
func (s Spans) Rest(n int64) Spans {
	var rest Spans
	from := int64(0)
	for _, span := range append(slices.Clone(s), Span{n, n}) {
		if to := min(span.From, n); from < to {
			rest = append(rest, Span{from, to})
		}
		from = max(from, span.To)
	}
	return rest
}

// At returns the records that stand at the places of s: where s is read one
// record after the other, those from place p.From up to p.To.
func (s Spans) At(p Span) Spans {
	var at Spans
	place := int64(0)
	for _, span := range s {
		n := span.To - span.From
		from, to := max(p.From-place, 0), min(p.To-place, n)
		if from < to {
			at = append(at, Span{span.From + from, span.From + to})
		}
		place += n
	}
	return at
}

// Stripes say which record of a replay stands at which offset. They lay the
// records out on the partitions of an empty topic in turn:
//
//	partition 0 │ 0 …  999 │ 2000 … 2999 │ …
//	partition 1 │ 1000 … 1999 │ 3000 … 3999 │ …
type Stripes struct {
	Records    int64 // in a stripe; at least 1
	Partitions int64 // at least 1
}

// Partition returns where a record goes; the number is that in the replay, from 0.
func (s Stripes) Partition(n int64) int { return int(n / s.Records % s.Partitions) }

// Record returns the number of the record at an offset.
func (s Stripes) Record(partition int32, offset int64) int64 {
	stripe := offset/s.Records*s.Partitions + int64(partition)
	return stripe*s.Records + offset%s.Records
}

// Below returns the records that stand below an offset of a partition.
func (s Stripes) Below(partition int32, offset int64) Spans {
	var below Spans
	for from := int64(0); from < offset; from += s.Records {
		n := s.Record(partition, from)
		below = below.append(Span{n, n + min(s.Records, offset-from)})
	}
	return below
}

// append adds a span that begins where s ends, or later.
func (s Spans) append(span Span) Spans {
	if last := len(s) - 1; last >= 0 && s[last].To == span.From {
		s[last].To = span.To
		return s
	}
	return append(s, span)
}

// Before returns the records whose numbers are less than n.
func (s Spans) Before(n int64) Spans {
	var before Spans
	for _, span := range s {
		if span.From < n {
			before = append(before, Span{span.From, min(span.To, n)})
		}
	}
	return before
}
