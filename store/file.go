package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/overreach/overreach/schema"
)

// File is a file that a run on one machine was given. The markers of its incarnation
// say what of it is counted; the columns of the table files say what each field is.
type File struct {
	Incarnation     string
	File            uint32
	Name            string
	SHA256, ButLast string
	Records         uint64
	Counting        uint32
	First           uint64
	From, To        []uint64 // of ranges of records: [From, To)
	Stripe          uint64
	Partitions      uint32
	Started         time.Time // UTC
	Judged          bool
}

var fileColumns = []string{"incarnation", "file", "name", "sha256", "sha256_but_last", "records", "counting", "first",
	"from_record", "to_record", "stripe", "partitions", "started", "judged"}

// Files returns the files of all runs, in the order in which the runs began.
func (s *Store) Files(ctx context.Context) ([]File, error) {
	rows, err := s.conn.Query(ctx, "SELECT "+columnList(fileColumns)+" FROM files FINAL ORDER BY started, incarnation, file")
	if err != nil {
		return nil, fmt.Errorf("reading files: %w", s.explain(err))
	}
	var all []File
	err = scan(rows, func() error {
		var f File
		var judged uint8
		err := rows.Scan(&f.Incarnation, &f.File, &f.Name, &f.SHA256, &f.ButLast, &f.Records, &f.Counting, &f.First,
			&f.From, &f.To, &f.Stripe, &f.Partitions, &f.Started, &judged)
		f.Judged = judged != 0
		all = append(all, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading files: %w", s.explain(err))
	}
	return all, nil
}

// WriteFiles records the files of a run. It is called before anything of them is
// sent, and once more when all that was counted is judged.
func (s *Store) WriteFiles(ctx context.Context, files []File) error {
	if len(files) == 0 {
		return nil
	}
	return s.insert(ctx, "files", fileColumns, "", func(b *block) {
		for _, f := range files {
			judged := uint8(0)
			if f.Judged {
				judged = 1
			}
			b.row([]any{f.Incarnation, f.File, f.Name, f.SHA256, f.ButLast, f.Records, f.Counting, f.First,
				f.From, f.To, f.Stripe, f.Partitions, f.Started, judged})
		}
	})
}

// TakeBack deletes the raw events and rejects that no marker vouches for, and
// returns how many there were. They are those of a batch that was never finished.
// It is for one machine alone, before anything is read there: no next owner can
// finish a batch whose broker ended with its process.
func (s *Store) TakeBack(ctx context.Context) (rows uint64, err error) {
	extents, err := s.Extents(ctx)
	if err != nil {
		return 0, err
	}
	counted := map[schema.Partition]int64{}
	for _, e := range extents {
		counted[e.Partition] = e.To
	}
	for _, table := range []string{"access_events", "rejects"} {
		n, err := s.takeBack(ctx, table, counted)
		if err != nil {
			return 0, fmt.Errorf("taking back from %s what was not counted: %w", table, s.explain(err))
		}
		rows += n
	}
	return rows, nil
}

func (s *Store) takeBack(ctx context.Context, table string, counted map[schema.Partition]int64) (deleted uint64, err error) {
	rows, err := s.conn.Query(ctx, "SELECT incarnation, partition, max(offset) FROM "+table+" GROUP BY incarnation, partition")
	if err != nil {
		return 0, err
	}
	var beyond []string
	err = scan(rows, func() error {
		var p schema.Partition
		var last int64
		if err := rows.Scan(&p.Incarnation, &p.Partition, &last); err != nil {
			return err
		}
		if to := counted[p]; last >= to {
			beyond = append(beyond, fmt.Sprintf("incarnation = %s AND partition = %d AND offset >= %d", quote(p.Incarnation), p.Partition, to))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, condition := range beyond {
		var n uint64
		if err := s.conn.QueryRow(ctx, "SELECT count() FROM "+table+" WHERE "+condition).Scan(&n); err != nil {
			return 0, err
		}
		call := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"mutations_sync": 2}))
		if err := s.conn.Exec(call, "ALTER TABLE "+table+" DELETE WHERE "+condition); err != nil {
			return 0, err
		}
		deleted += n
	}
	return deleted, nil
}
