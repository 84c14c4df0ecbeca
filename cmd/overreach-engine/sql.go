package main

import (
	"strings"
)

// token is a word, a number, a quoted text or a single punctuation mark of a
// query, by its place in it.
type token struct {
	from, to int
}

// tokens splits a query, leaving white space and comments out. An unfinished
// quotation or comment reaches to the end; the engine will say what it lacks.
func tokens(query string) []token {
	var all []token
	for at := 0; at < len(query); {
		end := tokenEnd(query, at)
		if !isBlank(query, at) {
			all = append(all, token{at, end})
		}
		at = end
	}
	return all
}

func isBlank(query string, at int) bool {
	switch rest := query[at:]; {
	case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "/*"),
		strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
		return true
	default:
		return strings.IndexByte(" \t\n\r\v\f", rest[0]) >= 0
	}
}

// tokenEnd is where the token, comment or single blank that begins at at ends.
func tokenEnd(query string, at int) int {
	rest := query[at:]
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
		return endAfter(query, at, "\n")
	case strings.HasPrefix(rest, "/*"):
		return endAfter(query, at+2, "*/")
	case c == '\'' || c == '"' || c == '`':
		for i := at + 1; i < len(query); i++ {
			switch {
			case query[i] == '\\':
				i++
			case query[i] != c:
			case i+1 < len(query) && query[i+1] == c:
				i++
			default:
				return i + 1
			}
		}
		return len(query)
	case isWordByte(c):
		end := at
		for end < len(query) && isWordByte(query[end]) {
			end++
		}
		return end
	case c == '$':
		// A heredoc, $tag$ … $tag$.
		if tag := strings.IndexByte(rest[1:], '$'); tag >= 0 && isWord(rest[1:1+tag]) {
			return endAfter(query, at+tag+2, rest[:tag+2])
		}
	}
	return at + 1
}

func endAfter(query string, from int, mark string) int {
	if i := strings.Index(query[from:], mark); i >= 0 {
		return from + i + len(mark)
	}
	return len(query)
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func isWord(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return true
}

// statement is one query as a server receives it.
type statement struct {
	text string // without a semicolon at the end
	verb string // the first word, in capitals
	// insert is set where rows are to follow, or follow, an INSERT.
	insert *insert
	format string // of a trailing FORMAT clause, else empty
	// formatFrom and formatTo are the place of that clause in text.
	formatFrom, formatTo int
}

// insert is an INSERT whose rows come with it: `INSERT INTO table (columns)
// SETTINGS … FORMAT name`, and whatever follows.
type insert struct {
	table    string   // as written: db.table
	columns  []string // their names; nil where the query names none
	list     string   // the column list as written, with its brackets
	settings string   // the SETTINGS clause as written
	format   string   // of the rows; Values where VALUES was written, empty where nothing was
	data     string   // the rows that the query itself holds
}

// parseStatement reads as much of a query as a server needs to know before
// the engine does: whether rows follow, and in which format a result is wanted.
func parseStatement(query string) (statement, error) {
	all := tokens(query)
	if len(all) == 0 {
		return statement{}, exceptionf(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: the query is empty.")
	}
	p := parser{query: query, tokens: all}
	st := statement{text: query, verb: strings.ToUpper(p.word(0))}
	if st.verb == "INSERT" {
		if st.insert = p.insert(); st.insert != nil {
			return st, nil
		}
	}
	for i, t := range all {
		if p.word(i) != ";" {
			continue
		}
		if i+1 < len(all) {
			return statement{}, exceptionf(codeSyntaxError, "SYNTAX_ERROR",
				"Syntax error (Multi-statements are not allowed): failed at position %d (end of query).", t.from+1)
		}
		st.text, p.tokens = query[:t.from], all[:i]
	}
	for i := len(p.tokens) - 2; i > 0; i-- {
		word := p.word(i)
		if word == ")" || word == "(" {
			break // a FORMAT inside brackets is not the query's
		}
		ends := i+2 == len(p.tokens) || p.is(i+2, "SETTINGS") || p.is(i+2, "INTO")
		if ends && strings.EqualFold(word, "FORMAT") && isWord(p.word(i+1)) && !p.part(i-1) {
			st.format, st.formatFrom, st.formatTo = p.word(i+1), p.tokens[i].from, p.tokens[i+1].to
			break
		}
	}
	return st, nil
}

// streams tells that the statement is one that the engine may hand out piece
// by piece.
func (st statement) streams() bool {
	return st.verb == "SELECT" || st.verb == "WITH" || st.verb == "(" || st.verb == "FROM"
}

// remembers tells that the statement is of use to later ones of its session alone.
func (st statement) remembers() bool {
	p := parser{query: st.text, tokens: tokens(st.text)}
	return st.verb == "SET" || st.verb == "CREATE" && (p.is(1, "TEMPORARY") || p.is(1, "OR") && p.is(3, "TEMPORARY"))
}

// withoutFormat is the text without its FORMAT clause.
func (st statement) withoutFormat() string {
	return st.text[:st.formatFrom] + st.text[st.formatTo:]
}

// parser walks over the tokens of a query.
type parser struct {
	query  string
	tokens []token
}

// word is the i-th token's text, empty past the end.
func (p *parser) word(i int) string {
	if i < 0 || i >= len(p.tokens) {
		return ""
	}
	return p.query[p.tokens[i].from:p.tokens[i].to]
}

func (p *parser) is(i int, keyword string) bool {
	return strings.EqualFold(p.word(i), keyword)
}

// part tells that an identifier follows the i-th token, so that FORMAT is the
// name of a column or a function there: `SELECT format`, `a.format`, `x, format`.
func (p *parser) part(i int) bool {
	switch word := p.word(i); word {
	case ".", ",", "(", "=", "<", ">", "+", "-", "*", "/":
		// `SELECT * FORMAT JSON` and `count() - format`: only the star can end a query.
		return word != "*"
	default:
		return strings.EqualFold(word, "SELECT") || strings.EqualFold(word, "BY") || strings.EqualFold(word, "AS")
	}
}

// insert reads an INSERT with rows, nil where it is another kind: INSERT …
// SELECT, FROM INFILE, INTO FUNCTION, or one that this parser does not know.
func (p *parser) insert() *insert {
	i := 1
	if p.is(i, "INTO") {
		i++
	}
	if p.is(i, "TABLE") {
		i++
	}
	if p.is(i, "FUNCTION") || i >= len(p.tokens) {
		return nil
	}
	table := i
	i++
	if p.word(i) == "." {
		i += 2
	}
	if i > len(p.tokens) {
		return nil
	}
	ins := &insert{table: p.query[p.tokens[table].from:p.tokens[i-1].to]}
	if p.word(i) == "(" {
		first := i
		for depth := 0; ; i++ {
			switch word := p.word(i); word {
			case "(":
				depth++
			case ")":
				depth--
			case ",":
			case "":
				return nil
			default:
				ins.columns = append(ins.columns, unquote(word))
			}
			if depth == 0 {
				break
			}
		}
		i++
		ins.list = p.query[p.tokens[first].from:p.tokens[i-1].to]
		if len(ins.columns) > 0 && (strings.EqualFold(ins.columns[0], "SELECT") || strings.EqualFold(ins.columns[0], "WITH")) {
			return nil
		}
	}
	if p.is(i, "SETTINGS") {
		first := i
		for i < len(p.tokens) && !p.is(i, "VALUES") && !p.is(i, "FORMAT") && !p.is(i, "SELECT") && !p.is(i, "WITH") {
			i++
		}
		ins.settings = p.query[p.tokens[first].from:p.tokens[i-1].to]
	}
	switch {
	case i == len(p.tokens), p.word(i) == ";" && i+1 == len(p.tokens):
		return ins
	case p.is(i, "VALUES"):
		ins.format = "Values"
	case p.is(i, "FORMAT") && i+1 < len(p.tokens):
		i++
		ins.format = p.word(i)
	default:
		return nil
	}
	ins.data = inlineData(p.query[p.tokens[i].to:])
	return ins
}

// inlineData is what follows FORMAT name: white space up to and with the first
// line break belongs to the query, not to the rows.
func inlineData(rest string) string {
	rest = strings.TrimLeft(rest, " \t\r")
	rest = strings.TrimPrefix(rest, "\n")
	if strings.TrimSpace(rest) == ";" || strings.TrimSpace(rest) == "" {
		return ""
	}
	return rest
}

// from is the statement that reads the rows from a file instead.
func (ins *insert) from(file, format string) string {
	query := "INSERT INTO " + ins.table + " " + ins.list + " FROM INFILE " + quote(file) + " COMPRESSION 'none' " + ins.settings
	return query + " FORMAT " + format
}

// quote writes text as a string literal.
func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(text) + "'"
}

// unquoteLiteral is the text that a string literal stands for, and any other
// text itself.
func unquoteLiteral(literal string) string {
	if len(literal) < 2 || literal[0] != '\'' || literal[len(literal)-1] != '\'' {
		return literal
	}
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\0`, "\x00", `''`, `'`).
		Replace(literal[1 : len(literal)-1])
}

// quoteName writes a name as an identifier.
func quoteName(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

// unquote is the name that an identifier stands for.
func unquote(identifier string) string {
	if len(identifier) < 2 || identifier[0] != '`' && identifier[0] != '"' {
		return identifier
	}
	mark := identifier[:1]
	inner := identifier[1 : len(identifier)-1]
	return strings.NewReplacer(`\`+mark, mark, `\\`, `\`, mark+mark, mark).Replace(inner)
}
