package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

var update = flag.Bool("update", false, "write docs/tables.md anew")

func TestThePageOfTheTablesIsWhatTheirCommentsSay(t *testing.T) {
	address, _ := embeddedtest.Engine(t)
	want, err := describe(t.Context(), address, embeddedtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", page)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is stale, run make docs (-comments +page):\n%s", page, diff)
	}
}
