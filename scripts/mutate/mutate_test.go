package main

import (
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const sample = `package p

func f(n int) error {
	err := g()
	for i := 0; i < n; i++ {
		if n > 2 && err == nil {
			h(n + 1)
			continue
		}
		n = 7
	}
	p.log.Warn().Msg("said")
	return err
}
`

func TestEachKindOfMutantIsMadeOnceAndIsGo(t *testing.T) {
	all, err := sitesOf("p.go", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, m := range all {
		if _, err := parser.ParseFile(token.NewFileSet(), "p.go", m.apply([]byte(sample)), 0); err != nil {
			t.Errorf("%s: %v", &m, err)
		}
		_, change, _ := strings.Cut(m.String(), ": ")
		made = append(made, change)
	}
	for _, want := range []string{
		"operator in i < n: < became <=", "operator in i < n: < became >=",
		"condition: n > 2 && err == nil became !(n > 2 && err == nil)", "operator in n > 2 && err == nil: && became ||",
		"operator in n > 2: > became >=", "operator in n > 2: > became <=", "number: 2 became (2 + 1)", "operator in err == nil: == became !=",
		"call: removed: h(n + 1)", "operator in n + 1: + became -", "number: 1 became (1 + 1)", "continue: removed: continue",
		"assignment: removed: n = 7", "number: 7 became (7 + 1)", "error: err became nil",
	} {
		if i := slices.Index(made, want); i < 0 {
			t.Errorf("no mutant says %q", want)
		} else {
			made = slices.Delete(made, i, i+1)
		}
	}
	for _, m := range made {
		t.Errorf("a mutant that was not expected: %s", m)
	}
}

func TestATestReachesTheLinesOfItsProfileAlone(t *testing.T) {
	blocks, err := parseProfile([]byte("mode: set\nexample.org/m/a/b.go:3.20,5.2 2 1\nexample.org/m/a/b.go:7.1,9.2 1 0\n"), "example.org/m")
	if err != nil {
		t.Fatal(err)
	}
	one := test{blocks: blocks}
	for line, want := range map[int]bool{2: false, 3: true, 5: true, 6: false, 8: false} {
		if got := one.reaches(&mutant{file: "a/b.go", reached: line}); got != want {
			t.Errorf("line %d is reached: %v, want %v", line, got, want)
		}
	}
}

func TestTheIntervalOfAShareIsWilsons(t *testing.T) {
	low, high := wilson(81, 263) // Newcombe 1998, Statistics in Medicine 17:857, table I
	if low < 0.2552 || low > 0.2554 || high < 0.3661 || high > 0.3663 {
		t.Errorf("81 of 263: %.4f to %.4f, want 0.2553 to 0.3662", low, high)
	}
}

// TestWhatBecomesOfAMutantIsTold makes mutants of a small module of its own.
func TestWhatBecomesOfAMutantIsTold(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.org/m\n\ngo 1.26\n",
		"p/p.go": `package p

func greet(name string) string {
	return "hello " + name
}

func least(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func sign(n int) int {
	switch {
	case n > 0:
		return 1
	case n < 0:
		return -1
	}
	return 0
}

func alone(n int) int {
	return n + 1
}
`,
		"p/p_test.go": `package p

import "testing"

func TestAll(t *testing.T) {
	if greet("you") != "hello you" || least(1, 2) != 1 || least(2, 1) != 1 || sign(0) != 0 {
		t.Fail()
	}
}
`,
	} {
		file := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s := &suite{root: root, module: "example.org/m", work: t.TempDir()}
	if err := s.measure(t.Context(), []string{"p"}, t.Logf); err != nil {
		t.Fatal(err)
	}
	all, err := sites(root, []string{"p"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]verdict{
		`operator in "hello " + name: + became -`: notGo,
		"operator in a < b: < became >=":          killed,
		"operator in a < b: < became <=":          survived, // of two that are equal either is the least
		"operator in n > 0: > became >=":          killed,   // though no test takes the case
		"operator in n + 1: + became -":           unreached,
	}
	for _, m := range all {
		_, change, _ := strings.Cut(m.String(), ": ")
		if want[change] == "" {
			continue
		}
		if got, err := s.try(t.Context(), &m, 0); err != nil || got != want[change] {
			t.Errorf("%s: %s (%v), want: %s", change, got, err, want[change])
		}
		delete(want, change)
	}
	for change := range want {
		t.Errorf("no mutant says %q", change)
	}
}
