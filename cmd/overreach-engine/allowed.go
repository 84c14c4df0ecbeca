package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The library's grants (access.go) refuse sources of data, but not all that
// leads out of the folder: executable(), the scalar file(), INTO OUTFILE, FROM
// INFILE, ATTACH … FROM, disks and formats that read or write files. So each
// statement of a client is held against these lists first, and whatever a later
// library adds to the enumerated kinds is refused until it stands here.

// statements are the beginnings that a statement may have.
var statements = [][]string{
	{"SELECT"}, {"WITH"}, {"("}, {"EXPLAIN"}, {"DESCRIBE"}, {"SHOW"}, {"EXISTS"}, {"USE"}, {"SET"}, {"INSERT", "INTO"},
	{"CREATE", "TABLE"}, {"CREATE", "TEMPORARY", "TABLE"}, {"CREATE", "OR", "REPLACE", "TABLE"}, {"REPLACE", "TABLE"},
	{"CREATE", "VIEW"}, {"CREATE", "OR", "REPLACE", "VIEW"}, {"CREATE", "MATERIALIZED", "VIEW"}, {"CREATE", "TEMPORARY", "VIEW"},
	{"CREATE", "DATABASE"}, {"ALTER", "TABLE"}, {"ALTER", "TEMPORARY", "TABLE"},
	{"DROP", "TABLE"}, {"DROP", "TEMPORARY", "TABLE"}, {"DROP", "VIEW"}, {"DROP", "DATABASE"},
	{"TRUNCATE", "TABLE"}, {"RENAME", "TABLE"}, {"EXCHANGE", "TABLES"}, {"OPTIMIZE", "TABLE"}, {"CHECK", "TABLE"},
	{"KILL", "QUERY"}, {"KILL", "MUTATION"}, {"DELETE", "FROM"}, {"UPDATE"},
	{"SYSTEM", "STOP", "MERGES"}, {"SYSTEM", "START", "MERGES"},
}

// tableFunctions are those that make rows of their arguments or read tables of
// the folder.
var tableFunctions = []string{
	"numbers", "numbers_mt", "zeros", "zeros_mt", "primes", "generateSeries", "generate_series", "generateRandom",
	"values", "null", "view", "merge", "mergeTreeIndex", "mergeTreeProjection",
}

// refusedFunctions are functions for values, not tables, that lead out of the folder.
var refusedFunctions = []string{"file", "catboostEvaluate", "aiClassify", "aiExtract", "aiGenerate", "aiTranslate", "showCertificate"}

// textSettings are the settings with a text for a value that a client may
// change. All others of that kind are refused: files, addresses, schemas,
// dialects and expressions that nothing here would look at.
var textSettings = []string{
	"bool_false_representation", "bool_true_representation", "column_names_for_schema_inference", "compatibility",
	"count_distinct_implementation", "errors_output_format", "format_csv_null_representation",
	"format_custom_field_delimiter", "format_custom_result_after_delimiter", "format_custom_result_before_delimiter",
	"format_custom_row_after_delimiter", "format_custom_row_before_delimiter", "format_custom_row_between_delimiter",
	"format_json_object_each_row_column_for_object_name", "format_regexp", "format_tsv_null_representation",
	"insert_deduplication_token", logComment, "network_compression_method",
	"output_format_pretty_grid_charset", "output_format_sql_insert_table_name", "query_cache_tag",
	"schema_inference_hints", "send_logs_source_regexp",
}

// textTypes are the types of settings whose values are texts of the client's.
const textTypes = "'String', 'URI', 'Map', 'Dialect'"

// gate decides which statements of clients the engine runs.
type gate struct {
	mu        sync.Mutex
	session   *session // of its own, so that no client's settings change how it reads
	functions map[string]bool
	settings  map[string]bool
	// mentions finds the name of a refused function.
	mentions *regexp.Regexp
	// rows stands for the file of an insert's rows while the insert is judged:
	// a name that no client knows.
	rows string
	// allowed are statements that were allowed: programs repeat theirs.
	allowed map[string]bool
}

// Limits of what gate.allowed keeps: some 8 MB at most.
const (
	maxAllowed     = 2000
	maxAllowedText = 4 << 10
)

// newGate asks the library what it knows, and refuses what is not allowed of that.
func newGate(s *session) (*gate, error) {
	// The text of a statement is a literal here, which may be twice as long.
	if err := s.set([]setting{{name: "max_query_size", value: "0"}}); err != nil {
		return nil, fmt.Errorf("opening the gate's session: %w", err)
	}
	g := &gate{session: s, functions: map[string]bool{}, settings: map[string]bool{}, rows: "/" + rand.Text(), allowed: map[string]bool{}}
	names, err := s.text("SELECT name FROM system.table_functions")
	if err != nil {
		return nil, fmt.Errorf("listing table functions: %w", err)
	}
	var patterns []string
	for _, name := range append(strings.Fields(names), refusedFunctions...) {
		// `format` is two functions; which one it is is decided where it stands.
		if name != "format" && !containsFold(tableFunctions, name) {
			g.functions[strings.ToLower(name)] = true
			patterns = append(patterns, regexp.QuoteMeta(name))
		}
	}
	g.mentions = regexp.MustCompile("(?i)" + strings.Join(append(patterns, "format"), "|"))
	names, err = s.text("SELECT name FROM (SELECT name, type FROM system.settings UNION ALL SELECT name, type FROM system.merge_tree_settings) WHERE type IN (" + textTypes + ")")
	if err != nil {
		return nil, fmt.Errorf("listing settings: %w", err)
	}
	for _, name := range strings.Fields(names) {
		g.settings[name] = !slices.Contains(textSettings, name)
	}
	return g, nil
}

func containsFold(all []string, name string) bool {
	return slices.ContainsFunc(all, func(one string) bool { return strings.EqualFold(one, name) })
}

// canonical is a statement as the library writes it after parsing it: without
// comments, with keywords in capitals and one way to quote. What is judged is
// thus what the library has understood. It refuses several statements in one.
func (g *gate) canonical(query string) (string, error) {
	r, err := g.session.run("SELECT formatQuerySingleLine("+quote(query)+")", "RawBLOB")
	defer r.free()
	if err != nil {
		e := asException(err)
		before, _, _ := strings.Cut(e.text, ": In scope SELECT formatQuery")
		if before != e.text {
			e.text = before + ". (" + e.name + ")"
		}
		return "", e
	}
	return string(r.data()), nil
}

// allow returns nil where a client may run a statement.
func (g *gate) allow(query string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.allowed[query] {
		return nil
	}
	if err := g.judge(query); err != nil {
		return err
	}
	if len(query) <= maxAllowedText {
		if len(g.allowed) >= maxAllowed {
			clear(g.allowed)
		}
		g.allowed[query] = true
	}
	return nil
}

// allowInsert returns nil where a client may insert rows that came with the statement.
func (g *gate) allowInsert(ins *insert, format string) error {
	return g.allow(ins.from(g.rows, format))
}

func (g *gate) judge(query string) error {
	text, err := g.canonical(query)
	if err != nil {
		return err
	}
	p := parser{query: text, tokens: tokens(text)}
	if !slices.ContainsFunc(statements, p.begins) {
		return refused("the statement "+p.beginning(), "statements", names(statements))
	}
	// Rows that the statement itself holds would be read by the library alone: parseStatement takes all that it knows out.
	if p.word(0) == "INSERT" && !p.has("SELECT") && !p.has(quote(g.rows)) {
		return exceptionf(codeNotImplemented, "NOT_IMPLEMENTED",
			"This INSERT is not one that overreach-engine understands: write INSERT INTO table (columns) VALUES or FORMAT name, or INSERT … SELECT.")
	}
	for i := range p.tokens {
		if err := g.allowAt(&p, i); err != nil {
			return err
		}
	}
	return nil
}

// allowAt looks at what begins with the i-th token.
func (g *gate) allowAt(p *parser, i int) error {
	word, next := p.word(i), p.word(i+1)
	name := unquote(word)
	quoted := strings.HasPrefix(next, "'")
	switch {
	case word == "OUTFILE" && quoted:
		return refused("INTO OUTFILE "+next, "", nil)
	case word == "INFILE" && quoted && next != quote(g.rows):
		return refused("FROM INFILE "+next, "", nil)
	case word == "PARALLEL" && next == "WITH":
		return refused("PARALLEL WITH", "", nil)
	case word == "ENGINE" && next == "=":
		allowed := tableEngines
		if p.begins([]string{"CREATE", "DATABASE"}) {
			allowed = databaseEngines
		}
		if engine := unquote(p.word(i + 2)); !slices.Contains(allowed, engine) {
			return refused("the engine "+engine, "engines", allowed)
		}
	case next == "(" && p.word(i-1) != "." && strings.EqualFold(name, "format"):
		// The function for values begins with a pattern, which no name of a format is: it has braces.
		if pattern := p.word(i + 2); !strings.HasPrefix(pattern, "'") || !strings.Contains(pattern, "{") || p.word(i+3) != "," {
			return refused("the table function format", "table functions", tableFunctions)
		}
	case next == "(" && p.word(i-1) != "." && g.functions[strings.ToLower(name)]:
		return refused("the function "+name, "table functions", tableFunctions)
	case next == "=" && g.settings[name] && slices.Contains([]string{"SET", "SETTINGS", "SETTING", ",", "("}, p.word(i-1)):
		return g.allowSetting(name)
	}
	return nil
}

// allowSetting returns nil where a client may change a setting.
func (g *gate) allowSetting(name string) error {
	if !g.settings[name] {
		return nil
	}
	return refused("the setting "+name, "settings with a text for a value", textSettings)
}

func (g *gate) allowSettings(settings []setting) error {
	for _, one := range settings {
		if err := g.allowSetting(one.name); err != nil {
			return err
		}
	}
	return nil
}

// forValues are the settings under which the rows of an INSERT … VALUES call no
// refused function: where they hold the name of one, be it in a text, the
// library takes literals alone.
func (g *gate) forValues(ins *insert, r *rows) ([]setting, error) {
	const most = 1 << 20 // looked at in one piece
	overlap := 0
	for name := range g.functions {
		overlap = max(overlap, len(name))
	}
	piece := make([]byte, most+overlap)
	for from := int64(0); ; from += most {
		n, err := r.file.ReadAt(piece, from)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading an insert's rows: %w", err)
		}
		if g.mentions.Match(piece[:n]) {
			break
		}
		if n < len(piece) {
			return nil, nil
		}
	}
	if strings.Contains(ins.settings, "input_format_values") {
		return nil, refused("settings input_format_values beside rows that name a function which it refuses", "", nil)
	}
	return []setting{
		{name: "input_format_values_interpret_expressions", value: "0"},
		{name: "input_format_values_deduce_templates_of_expressions", value: "0"},
	}, nil
}

// refused is the exception for what is not on a list.
func refused(what, kind string, allowed []string) *exception {
	list := ""
	if kind != "" {
		list = " Allowed " + kind + ": " + strings.Join(allowed, ", ") + "."
	}
	return exceptionf(codeAccessDenied, "ACCESS_DENIED",
		"overreach-engine reads and writes the tables of its folder and nothing else, so it refuses %s.%s "+
			"Let the client read and write files; for other sources, use a ClickHouse server of your own.", what, list)
}

func names(statements [][]string) []string {
	var all []string
	for _, words := range statements {
		all = append(all, strings.Join(words, " "))
	}
	return all
}

// begins tells that a statement begins with these words.
func (p *parser) begins(words []string) bool {
	for i, word := range words {
		if p.word(i) != word {
			return false
		}
	}
	return true
}

// beginning is the first words of a statement, as far as they are keywords.
func (p *parser) beginning() string {
	var words []string
	for i := 0; i < 4 && p.word(i) == strings.ToUpper(p.word(i)) && isWord(p.word(i)) && p.word(i) != ""; i++ {
		words = append(words, p.word(i))
	}
	return strings.Join(words, " ")
}

func (p *parser) has(word string) bool {
	for i := range p.tokens {
		if p.word(i) == word {
			return true
		}
	}
	return false
}
