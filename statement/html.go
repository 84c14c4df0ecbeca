package statement

import (
	_ "embed"
	"html/template"
	"io"

	"github.com/overreach/overreach/schema"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// HTML writes the statement as one page that needs nothing else: its style is in
// it, it has no scripts and asks for nothing. It prints on A4.
func (s *Statement) HTML(w io.Writer) error {
	page, err := template.New("statement").Funcs(template.FuncMap{"plain": schema.Printable}).Parse(pageText)
	if err != nil {
		return err
	}
	v := s.view()
	v.Style = template.CSS(pageStyle) //nolint:gosec // a file of ours
	return page.Execute(w, v)
}
