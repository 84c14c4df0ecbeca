package consumer

import (
	"context"
	"encoding/binary"
	"errors"
)

// errReadable says that what could not be decoded before can be now.
var errReadable = errors.New("it can be decoded now")

// detour is a later offset by which a broker finds a batch that it cannot find by
// the batch's own offsets: it searches from an entry of its index on, and what lies
// between is damaged.
type detour struct{ to, by int64 }

// sight is what a fetch shows of what lies behind an offset.
type sight struct {
	base    int64 // of the first batch behind it that can be decoded; -1: none in the response
	claimed int64 // the offset behind the first batch, as its header says it, which may be damaged; -1: it says none
	end     int64 // the last stable offset; -1: the broker did not say
}

// beyond returns where that ends which cannot be decoded at an offset: at the
// base offset of the next batch that can be. Where the log has none, at its last
// stable offset: what lies behind that belongs to transactions that have not
// ended, and was not handed out yet. errReadable says that there is nothing to
// pass.
//
// A damaged batch's own header is not believed, neither its length nor its last
// offset: what counts is a batch behind it whose CRC is right. Where the response
// ends before one (with its segment, or since the broker cannot read there), later
// offsets are asked for, twice as far each time, and then what lies between.
func (f *fetcher) beyond(ctx context.Context, offset int64) (int64, error) {
	defer f.drop()
	f.detour = detour{to: -1}
	at, err := f.look(ctx, offset, offset)
	if err != nil || at.base >= 0 {
		return at.base, err
	}
	limit := at.end
	if limit < 0 {
		logs, err := f.cluster.logs(ctx, map[string][]int{f.topic: {int(f.partition)}})
		if err != nil {
			return 0, err
		}
		limit = logs[place{f.topic, f.partition}].end
	}
	if at.claimed > offset && at.claimed < limit {
		next, err := f.look(ctx, at.claimed, offset)
		if err != nil || next.base == at.claimed {
			return next.base, err
		}
	}
	without := offset
	for step := int64(1); ; step *= 2 {
		probe := min(offset+step, limit-1)
		if probe <= without {
			break
		}
		next, err := f.look(ctx, probe, offset)
		if errors.Is(err, errReadable) {
			f.detour = detour{to: offset, by: probe}
		}
		if err != nil {
			return 0, err
		}
		if next.base >= 0 {
			return f.first(ctx, offset, without, probe, next.base)
		}
		without = probe
	}
	return limit, nil
}

// first returns the least base offset of a batch that can be decoded, where a
// fetch from an offset shows none and one from a later offset shows base.
func (f *fetcher) first(ctx context.Context, offset, without, with, base int64) (int64, error) {
	for with-without > 1 {
		middle := without + (with-without)/2
		at, err := f.look(ctx, middle, offset)
		if errors.Is(err, errReadable) {
			f.detour = detour{to: offset, by: middle}
		}
		if err != nil {
			return 0, err
		}
		if at.base < 0 {
			without = middle
		} else {
			with, base = middle, at.base
		}
	}
	if with > base {
		f.detour = detour{to: base, by: with}
	}
	return base, nil
}

// look fetches from an offset and searches what comes for batches behind another
// one that can be decoded.
func (f *fetcher) look(ctx context.Context, from, behind int64) (sight, error) {
	raw, err := f.ask(ctx, from)
	if err != nil {
		return sight{base: -1}, err
	}
	c, b, err := f.open(raw, from)
	var bad *unreadable
	if errors.As(err, &bad) {
		c = bad.log
	} else if err != nil {
		return sight{base: -1}, err
	}
	at := sight{base: -1, claimed: -1, end: c.end}
	if len(b) >= batchHeader && b[magicAt] == 2 {
		at.claimed = int64(binary.BigEndian.Uint64(b)) + int64(int32(binary.BigEndian.Uint32(b[crcStart+2:]))) + 1 //nolint:gosec // as it was written
	}
	at.base, err = f.search(b, behind)
	return at, err
}

// search returns the base offset of the first batch in b that lies behind an
// offset and can be decoded, -1 where there is none, errReadable where the batch
// that holds the offset can be.
func (f *fetcher) search(b []byte, offset int64) (int64, error) {
	for len(b) >= batchHeader {
		whole, err := wholeBatch(b)
		if err != nil {
			b = b[1:] // its length may be damaged: the next batch may begin anywhere
			continue
		}
		batch, ok := f.decodes(whole)
		switch {
		case ok && batch.base > offset:
			return batch.base, nil
		case ok && batch.last >= offset:
			return -1, errReadable
		}
		if _, _, _, err := batchOf(whole); err == nil { // its CRC vouches for its length
			b = b[len(whole):]
			continue
		}
		if rest := b[len(whole):]; len(rest) >= batchHeader {
			if next, err := wholeBatch(rest); err == nil {
				if _, _, _, err := batchOf(next); err == nil {
					b = rest
					continue
				}
			}
		}
		b = b[1:]
	}
	return -1, nil
}

// decodes reads all records of a batch, and keeps none.
func (f *fetcher) decodes(b []byte) (openBatch, bool) {
	batch, attributes, _, err := batchOf(b)
	if err != nil {
		return openBatch{}, false
	}
	if attributes.Control() || batch.left == 0 {
		return batch, true
	}
	f.in.close()
	f.records = f.records[:0]
	f.in.reuse()
	f.batch = batch
	if err = f.in.open(attributes.Compression(), b[batchHeader:]); err == nil {
		err = f.readRecords(batch.last + 1)
	}
	f.in.close()
	f.batch = openBatch{}
	return batch, err == nil
}
