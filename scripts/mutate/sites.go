package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is one small change of one source file, by byte offsets.
type mutant struct {
	file       string // relative to the checkout
	line       int
	reached    int // the line of the code that runs whenever what is changed does
	from, to   int // what text replaces, [from, to)
	text       string
	kind       string // what was changed, in words
	was        string
	statements bool // text holds statements, and is shown as "removed"
}

func (m *mutant) String() string {
	change := fmt.Sprintf("%s became %s", shorten(m.was), shorten(m.text))
	if m.statements {
		change = "removed: " + shorten(m.was)
	}
	return fmt.Sprintf("%s:%d: %s: %s", m.file, m.line, m.kind, change)
}

func shorten(text string) string {
	const most = 90
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// apply returns the source with the change in it.
func (m *mutant) apply(source []byte) []byte {
	return slices.Concat(source[:m.from], []byte(m.text), source[m.to:])
}

// torture and test files are no part of what runs, and what only speaks to people
// is not what tests are held against.
var (
	notRun  = regexp.MustCompile(`_test\.go$|_torture\.go$`)
	logging = regexp.MustCompile(`(?s)^(\w+\.)*(log|logger)\.(Debug|Info|Warn|Error)\(\)`)
)

// sites returns every mutant of the packages' sources, by file and place.
func sites(root string, packages []string) ([]mutant, error) {
	var all []mutant
	for _, dir := range packages {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if notRun.MatchString(file) {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				return nil, err
			}
			found, err := sitesOf(name, source)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// swapped says what an operator becomes. Each is the mistake that somebody makes:
// a boundary, a direction, a condition that is too wide.
var swapped = map[token.Token][]token.Token{
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
	token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL},
}

// finder collects the mutants of one file.
type finder struct {
	set    *token.FileSet
	name   string
	source []byte
	all    []mutant
	choice token.Pos // of the switch or select whose case is being looked at, else 0
}

func sitesOf(name string, source []byte) ([]mutant, error) {
	f := &finder{set: token.NewFileSet(), name: name, source: source}
	file, err := parser.ParseFile(f.set, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			ast.Inspect(fn.Body, f.visit)
		}
	}
	return f.all, nil
}

func (f *finder) offset(p token.Pos) int { return f.set.Position(p).Offset }

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.offset(n.Pos()):f.offset(n.End())])
}

func (f *finder) add(from, to token.Pos, text, kind string) {
	a, b, reached := f.offset(from), f.offset(to), from
	if f.choice.IsValid() {
		reached = f.choice
	}
	f.all = append(f.all, mutant{
		file: f.name, line: f.set.Position(from).Line, reached: f.set.Position(reached).Line,
		from: a, to: b, text: text, kind: kind, was: string(f.source[a:b]),
	})
}

// remove takes statements out so that names which they use stay used.
func (f *finder) remove(n ast.Node, kind string) {
	f.add(n.Pos(), n.End(), "if false { "+f.text(n)+" }", kind)
	f.all[len(f.all)-1].statements = true
}

// clauses visits the cases of a switch or select. A profile calls a case's line reached
// where the case is taken, but its condition is asked wherever the switch begins.
func (f *finder) clauses(body *ast.BlockStmt) {
	for _, clause := range body.List {
		var asked []ast.Node
		var taken []ast.Stmt
		switch c := clause.(type) {
		case *ast.CaseClause:
			for _, e := range c.List {
				asked = append(asked, e)
			}
			taken = c.Body
		case *ast.CommClause:
			if c.Comm != nil {
				asked = append(asked, c.Comm)
			}
			taken = c.Body
		}
		f.choice = body.Lbrace
		for _, n := range asked {
			ast.Inspect(n, f.visit)
		}
		f.choice = token.NoPos
		for _, n := range taken {
			ast.Inspect(n, f.visit)
		}
	}
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ForStmt: // its steps are no statements that can be taken out
		if n.Cond != nil {
			ast.Inspect(n.Cond, f.visit)
		}
		ast.Inspect(n.Body, f.visit)
		return false
	case *ast.SwitchStmt:
		if n.Init != nil {
			ast.Inspect(n.Init, f.visit)
		}
		if n.Tag != nil {
			ast.Inspect(n.Tag, f.visit)
		}
		f.clauses(n.Body)
		return false
	case *ast.TypeSwitchStmt:
		f.clauses(n.Body)
		return false
	case *ast.SelectStmt:
		f.clauses(n.Body)
		return false
	case *ast.ExprStmt:
		if logging.MatchString(f.text(n)) {
			return false
		}
		f.remove(n, "call")
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			f.remove(n, "assignment")
		}
	case *ast.IncDecStmt:
		f.remove(n, "count")
	case *ast.BranchStmt:
		if n.Tok == token.CONTINUE || n.Tok == token.BREAK {
			f.remove(n, n.Tok.String())
		}
	case *ast.IfStmt:
		f.add(n.Cond.Pos(), n.Cond.End(), "!("+f.text(n.Cond)+")", "condition")
	case *ast.BinaryExpr:
		for _, op := range swapped[n.Op] {
			f.add(n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), op.String(), "operator in "+shorten(f.text(n)))
		}
	case *ast.BasicLit:
		if n.Kind == token.INT && n.Value != "0" {
			f.add(n.Pos(), n.End(), "("+n.Value+" + 1)", "number")
		}
	case *ast.Ident:
		if other, ok := map[string]string{"true": "false", "false": "true"}[n.Name]; ok {
			f.add(n.Pos(), n.End(), other, "value")
		}
	case *ast.ReturnStmt:
		if len(n.Results) == 0 {
			break
		}
		if last, ok := n.Results[len(n.Results)-1].(*ast.Ident); ok && last.Name == "err" {
			f.add(last.Pos(), last.End(), "nil", "error")
		}
	}
	return true
}
