package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
)

// Content says what a file holds, by its records and not by its bytes: so a file
// is the same packed or not, and a JSON list that has grown begins with what it
// was. Empty lines are no records.
type Content struct {
	Records int64
	// SHA256 is over each record without white space at its end, and a line feed
	// behind it; hexadecimal. Of a plain file of lines it is what sha256sum says.
	SHA256 string
	// ButLast is the same without the last record, where the file ends within its
	// last line; else it is empty. Such a line may not be whole yet.
	ButLast string
	// Beginnings are the same of the first records, by their number, for the
	// numbers that were asked for and that the file has.
	Beginnings map[int64]string
}

// Inspect reads a file to its end. beginnings are the numbers of records for
// which Content.Beginnings is wanted.
func Inspect(ctx context.Context, file string, beginnings []int64) (Content, error) {
	s, d := source{}, newDigest(beginnings)
	for line, err := range s.linesOf(file) {
		if err == nil && d.records%checkEvery == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return Content{}, err
		}
		if len(line) > 0 {
			d.add(line, s.split.open)
		}
	}
	return d.content(), nil
}

// checkEvery is after how many records Inspect looks whether it is to stop.
const checkEvery = 1000

// digest makes a Content, record by record.
type digest struct {
	records    int64
	sum        hash.Hash
	butLast    string
	wanted     []int64 // numbers of records, ascending
	beginnings map[int64]string
}

func newDigest(beginnings []int64) *digest {
	wanted := slices.Compact(slices.Sorted(slices.Values(beginnings)))
	return &digest{sum: sha256.New(), wanted: wanted, beginnings: map[int64]string{}}
}

// add adds a record; open says that the file ended within its line.
func (d *digest) add(record []byte, open bool) {
	if open {
		d.butLast = d.digits()
	}
	d.note()
	_, _ = d.sum.Write(bytes.TrimRight(record, " \t\r")) // a hash never fails
	_, _ = d.sum.Write([]byte{'\n'})
	d.records++
}

// note keeps the sum of what was added so far, where it is wanted.
func (d *digest) note() {
	for len(d.wanted) > 0 && d.wanted[0] <= d.records {
		if d.wanted[0] == d.records {
			d.beginnings[d.records] = d.digits()
		}
		d.wanted = d.wanted[1:]
	}
}

func (d *digest) digits() string { return hex.EncodeToString(d.sum.Sum(nil)) }

func (d *digest) content() Content {
	d.note()
	return Content{Records: d.records, SHA256: d.digits(), ButLast: d.butLast, Beginnings: d.beginnings}
}
