// Command nab feeds the series of a benchmark folder to the baseline one row at
// a time and writes the scores that its scorer reads.
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	out := flag.String("out", "", "folder for the results")
	flag.Parse()
	if *out == "" || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: nab -out RESULTS DIR")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *out); err != nil {
		fmt.Fprintln(os.Stderr, "nab:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	files, err := filepath.Glob(filepath.Join(dir, "data", "*", "*.csv"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no series under %s/data, want data/FAMILY/NAME.csv", dir)
	}
	for _, f := range files {
		rel, err := filepath.Rel(filepath.Join(dir, "data"), f)
		if err != nil {
			return err
		}
		if err := series(f, filepath.Join(out, rel)); err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
	}
	return nil
}

func series(in, out string) error {
	r, err := os.Open(in)
	if err != nil {
		return err
	}
	defer r.Close()
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	w, err := os.Create(out)
	if err != nil {
		return err
	}
	defer w.Close()
	c := csv.NewWriter(w)
	if err := c.Write([]string{"timestamp", "anomaly_score"}); err != nil {
		return err
	}
	var f feed
	for _, row := range rows[1:] {
		at, err := time.Parse("2006-01-02 15:04:05", row[0])
		if err != nil {
			return err
		}
		v, err := strconv.ParseFloat(row[1], 64)
		if err != nil || math.IsNaN(v) {
			return fmt.Errorf("value %q: %w", row[1], err)
		}
		if err := c.Write([]string{row[0], strconv.FormatFloat(f.next(at.Unix(), v), 'g', 9, 64)}); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
