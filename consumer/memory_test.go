package consumer

import "testing"

func TestPartitionsShareTheMemoryOfBatches(t *testing.T) {
	l := DefaultLimits()
	for _, c := range []struct {
		partitions  int
		each, whole int64
	}{
		{1, 256 << 20, 256 << 20},
		{8, 32 << 20, 256 << 20},
		{64, 4 << 20, 256 << 20},
		{500, 4 << 20, 2000 << 20}, // smaller batches would be too many inserts
	} {
		if got := l.each(c.partitions).Bytes; got != c.each {
			t.Errorf("with %d partitions a batch takes %d bytes, expected %d", c.partitions, got, c.each)
		}
		if got := l.Memory(c.partitions); got != c.whole {
			t.Errorf("%d partitions take %d bytes, expected %d", c.partitions, got, c.whole)
		}
	}
}
