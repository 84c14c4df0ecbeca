package consumer

// What a batch takes, by what makes it grow: what is held of it, and the columns
// of the inserts. Measured with ordinary and hostile events and rounded up, see
// docs/operations.md.
const (
	// bytesAnEvent is a row of access_events or rejects with its share of the
	// sketches; bytesAName for each byte of its names and ids.
	bytesAnEvent, bytesAName = 1 << 10, 3
	// bytesACell is a cell, its place in two maps and its three rows of usage, and
	// bytesACellName for each byte of its usage key's names: as a key, held, and three
	// times as a column and as what is sent of it.
	bytesACell, bytesACellName = 3 << 10, 7
)

// leastBatch is what a batch may take however many partitions there are: smaller
// ones would be more inserts than ClickHouse merges.
const leastBatch = 4 << 20

// Memory is how many bytes the batches of all partitions of a group take
// together at most, though one instance read them all.
func (l Limits) Memory(partitions int) int64 {
	return max(l.Bytes, int64(partitions)*leastBatch)
}

// ProgramMemory is what the program takes beside its batches: the judge, which
// reads of a bounded number of names at a time, the alerts and Go itself.
const ProgramMemory = 256 << 20
