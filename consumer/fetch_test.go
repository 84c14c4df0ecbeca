package consumer

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/segmentio/kafka-go"
)

var benchCompressions = map[string]kafka.Compression{"none": 0, "lz4": kafka.Lz4, "zstd": kafka.Zstd}

// rawBatch makes a batch of records as a broker stores it.
func rawBatch(base int64, attributes int16, lastDelta int32, values ...string) []byte {
	var body []byte
	for i, v := range values {
		var r []byte
		r = append(r, 0)                                        // attributes
		r = binary.AppendVarint(r, int64(10*i))                 // time
		r = binary.AppendVarint(r, int64(i))                    // offset
		r = binary.AppendVarint(r, 3)                           // key
		r = append(r, "key"...)                                 //
		r = append(binary.AppendVarint(r, int64(len(v))), v...) // value
		r = append(binary.AppendVarint(r, 1), 2, 'h', 2, 'x')   // one header
		body = append(binary.AppendVarint(body, int64(len(r))), r...)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(base))
	b = binary.BigEndian.AppendUint32(b, uint32(batchHeader-batchPrefix+len(body)))
	b = append(binary.BigEndian.AppendUint32(b, 0), 2)
	sum := len(b)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(attributes))
	b = binary.BigEndian.AppendUint32(b, uint32(lastDelta))
	b = binary.BigEndian.AppendUint64(b, 1000) // first time
	b = binary.BigEndian.AppendUint64(b, 5000) // greatest time
	b = append(b, make([]byte, 8+2+4)...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(values)))
	b = append(b, body...)
	binary.BigEndian.PutUint32(b[sum:], crc32.Checksum(b[crcStart:], castagnoli))
	return b
}

// rawResponseOf wraps record batches as fetch version 11 does.
func rawResponseOf(batches []byte) *rawResponse {
	b := make([]byte, 8)
	b = binary.BigEndian.AppendUint16(b, 0) // error
	b = append(b, make([]byte, 4)...)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(binary.BigEndian.AppendUint16(b, 1), 't')
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(b, make([]byte, 4)...)
	b = binary.BigEndian.AppendUint16(b, 0)          // no error
	b = binary.BigEndian.AppendUint64(b, 99)         // high watermark
	b = binary.BigEndian.AppendUint64(b, 99)         // last stable offset
	b = append(b, make([]byte, 8)...)                // log start
	b = binary.BigEndian.AppendUint32(b, 0xffffffff) // no aborted transactions
	b = append(b, make([]byte, 4)...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(batches)))
	return &rawResponse{version: 11, body: append(b, batches...)}
}

func TestAFetchSkipsWhatWasNotAskedForAndGoesOnPastWhatIsNotThere(t *testing.T) {
	var batches []byte
	batches = append(batches, rawBatch(40, 0, 2, "a", "b", "c")...)     // 40 and 41 were not asked for
	batches = append(batches, rawBatch(43, 1<<5, 0, "commit")...)       // a control batch
	batches = append(batches, rawBatch(44, 1<<3, 9, "d")...)            // 45 to 53 were compacted away; the broker's time
	batches = append(batches, rawBatch(54, 0, 4)...)                    // all of it was
	batches = append(batches, rawBatch(59, 0, 1, "cut", "off")[:70]...) // where the limit fell
	var f fetcher
	c, err := f.parse(rawResponseOf(batches), 42)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.records) != 2 || c.next != 59 || c.end != 99 {
		t.Fatalf("%d records, next %d, end %d", len(c.records), c.next, c.end)
	}
	if r := c.records[0]; r.offset != 42 || r.time != 1020 || string(r.value) != "c" {
		t.Errorf("%+v", r)
	}
	if r := c.records[1]; r.offset != 44 || r.time != 5000 || string(r.value) != "d" {
		t.Errorf("%+v", r)
	}
}

func TestADamagedBatchIsAnErrorAndNoRecord(t *testing.T) {
	for i := range rawBatch(40, 0, 1, "a", "b") {
		b := rawBatch(40, 0, 1, "a", "b")
		b[i] ^= 0x40
		var f fetcher
		c, err := f.parse(rawResponseOf(b), 40)
		// The base offset, the length and the leader's epoch lie outside the CRC.
		if err == nil && i >= batchPrefix+4 {
			t.Errorf("with byte %d damaged: %d records", i, len(c.records))
		}
	}
}

func FuzzFetch(f *testing.F) {
	f.Add(rawBatch(40, 0, 1, "a", "b"), int64(40))
	f.Add(rawBatch(40, 4, 1, "a", "b"), int64(0))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, batches []byte, offset int64) {
		if len(batches) >= batchHeader { // so that the fuzzer comes past the CRC
			binary.BigEndian.PutUint32(batches[crcStart-4:], crc32.Checksum(batches[crcStart:], castagnoli))
		}
		var fetch fetcher
		c, err := fetch.parse(rawResponseOf(batches), offset)
		if err != nil {
			return
		}
		for i, r := range c.records {
			if r.offset < offset || i > 0 && r.offset <= c.records[i-1].offset {
				t.Errorf("record %d has offset %d, asked for %d", i, r.offset, offset)
			}
		}
	})
}
