package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/overreach/overreach/consumer"
)

// besideHeap is what is resident of the program that Go's limit of memory does not
// count: its own pages, above all.
const besideHeap = 96 << 20

// memory is how many bytes an instance has resident at most, where its group reads
// so many partitions.
func memory(l consumer.Limits, partitions int) int64 {
	return consumer.ProgramMemory + l.Memory(partitions)
}

// keepMemory has Go collect garbage earlier where memory comes near to its bound,
// and returns what is to be told how many partitions the group reads. Whoever sets
// GOMEMLIMIT decides for himself.
func keepMemory(l consumer.Limits) (shared func(partitions int)) {
	shared = func(partitions int) {
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(memory(l, partitions) - besideHeap)
		}
	}
	shared(0)
	return shared
}

// sayMemory is the line of `overreach check`.
func sayMemory(l consumer.Limits) string {
	least := memory(l, 0)
	more := l.Memory(1<<20) >> 20
	return fmt.Sprintf("memory    at most %s MB where the topics have up to %d partitions in all, and %s MB more for each one beyond\n",
		megabytes(least), (least-consumer.ProgramMemory)/more, megabytes(more))
}
