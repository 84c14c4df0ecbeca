// Command configdoc writes docs/config.md from the comments and tags of the
// configuration's structs, so that the page cannot say other than the program.
//
//	go run ./scripts/configdoc
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strconv"
	"strings"
)

const (
	source = "cmd/overreach/config.go"
	page   = "docs/config.md"
)

const head = `# Configuration

<!-- Written by "go run ./scripts/configdoc" from cmd/overreach/config.go. Change that. -->

One YAML file, named by ` + "`--config` or `OVERREACH_CONFIG`" + `. It is read strictly: an
unknown field, a field given twice or a value of the wrong kind is refused with
its line. [config.example.yaml](../config.example.yaml) shows all of it.

Each value comes from a flag, else from the environment, else from the file,
else is the default. The variable of a setting is ` + "`OVERREACH_`" + ` and its path:
` + "`kafka.tls.ca` is `OVERREACH_KAFKA_TLS_CA`" + `. Lists are parted by commas there; the
list of topics stands in the file alone; an empty variable counts as not set. The
flag of a setting, where a command has it, is its path with dashes: ` + "`--log-level`" + `.
` + "`overreach config`" + ` prints every value in force with its origin, secrets masked.

Secrets are never in the file. They come from the files that it names, or from
` + "`OVERREACH_KAFKA_PASSWORD`, `OVERREACH_CLICKHOUSE_PASSWORD`, `OVERREACH_HASH_KEY`,\n`OVERREACH_ALERTMANAGER_PASSWORD` and `OVERREACH_WEBHOOK_SECRET`" + `, which go before the files.

Kinds of values: an *address* is host:port. A *duration* is a number with a unit,
as in ` + "`90d`, `1d12h`, `15m`, `2s`, `500ms`" + `. A *day* is written ` + "`2000-01-01`" + ` and is UTC.
A *file*'s path is meant from the folder of the configuration file, and from the
working directory where a variable or a flag gives it.
`

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "configdoc:", err)
		os.Exit(1)
	}
}

func run() error {
	src, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("%w (configdoc runs in the top folder of the checkout)", err)
	}
	text, err := generate(src)
	if err != nil {
		return err
	}
	return os.WriteFile(page, text, 0o644)
}

// kinds are the words that the page has for the types of values.
var kinds = map[string]string{
	"string": "text", "bool": "true or false", "int": "number", "[]string": "list of addresses",
	"Duration": "duration", "Date": "day", "Start": "start", "FilePath": "file", "Mapping": "name or file",
}

// generate makes the page from the text of the source.
func generate(src []byte) ([]byte, error) {
	file, err := parser.ParseFile(token.NewFileSet(), source, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	d := document{structs: map[string]structDoc{}}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range gen.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok {
				if s, ok := t.Type.(*ast.StructType); ok {
					d.structs[t.Name.Name] = structDoc{gen.Doc.Text(), s}
				}
			}
		}
	}
	d.out.WriteString(head)
	if err := d.section("", "Config"); err != nil {
		return nil, err
	}
	return d.out.Bytes(), nil
}

type structDoc struct {
	comment string
	fields  *ast.StructType
}

type document struct {
	structs map[string]structDoc
	out     bytes.Buffer
}

// section writes the settings of a struct as a table, and then the structs
// within it as sections of their own.
func (d *document) section(path, name string) error {
	s, ok := d.structs[name]
	if !ok {
		return fmt.Errorf("%s: struct %s of %s is not in the file", source, name, path)
	}
	if path == "" {
		d.out.WriteString("\n## At the top\n\n")
	} else {
		about := strings.Join(strings.Fields(s.comment), " ")
		about = strings.TrimPrefix(strings.TrimPrefix(about, name+" "), "is ")
		fmt.Fprintf(&d.out, "\n## %s\n\n%s\n\n", path, strings.ToUpper(about[:1])+about[1:])
	}
	d.out.WriteString("| setting | kind | default | meaning |\n|---|---|---|---|\n")
	type sub struct{ path, name string }
	var subs []sub
	for _, f := range s.fields.Fields.List {
		if f.Tag == nil {
			continue
		}
		raw, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			return err
		}
		tag := reflect.StructTag(raw)
		p := strings.TrimPrefix(path+"."+tag.Get("yaml"), ".")
		kind := typeName(f.Type)
		item, isList := strings.CutPrefix(kind, "[]")
		if _, isStruct := d.structs[item]; isStruct {
			if !isList {
				subs = append(subs, sub{p, item})
				continue
			}
			subs = append(subs, sub{p + "[]", item})
			kind = "list, see below"
		} else if kind, ok = kinds[kind]; !ok {
			return fmt.Errorf("%s: %s has a type that configdoc has no word for: %s", source, p, typeName(f.Type))
		}
		doc := strings.Join(strings.Fields(f.Doc.Text()), " ")
		if doc == "" {
			return fmt.Errorf("%s: %s has no comment", source, p)
		}
		if tag.Get("required") == "true" {
			doc += " Required."
		}
		value := tag.Get("default")
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&d.out, "| `%s` | %s | %s | %s |\n", p, kind, value, strings.ReplaceAll(doc, "|", `\|`))
	}
	for _, s := range subs {
		if err := d.section(s.path, s.name); err != nil {
			return err
		}
	}
	return nil
}

// typeName writes a type as the source does; only names and slices occur.
func typeName(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.ArrayType:
		return "[]" + typeName(t.Elt)
	}
	return fmt.Sprintf("%T", t)
}
