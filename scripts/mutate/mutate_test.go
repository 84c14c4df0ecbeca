package main

import (
	"go/parser"
	"go/token"
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
		if got := one.reaches(&mutant{file: "a/b.go", line: line}); got != want {
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
