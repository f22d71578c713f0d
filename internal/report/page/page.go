// Package page makes report.html: one file that says what a run found, and opens without a network. Everything is in it as text and
// tables, so that it can be read, copied and printed by whatever shows HTML; a script draws charts of the same numbers above them.
//
// What a spec, a server or a log says gets into the page as text only: html/template escapes it, the data are JSON without <, > and &, the
// script makes no markup of strings. And should one of them fail, the Content-Security-Policy lets nothing run, or load, but what is here.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"

	"vtune/internal/record"
)

// Input is all that the page is made of.
type Input struct {
	Run       record.Run
	State     record.State
	Effective []byte // effective.yaml, shown as it is
	Serve     string // the winner's command line; empty without one

	// Of an assignment, for all are alike in these; zero where there is none to read.
	Server   record.Server
	Workload record.Workload
	// Histograms are those of the winner's observation, as its record has them. A state holds none.
	Histograms map[string]string
	// Stamp says what the page knows of; Stamped finds it again.
	Stamp string
}

//go:embed assets/echarts.min.js
var library string

//go:embed assets/page.js
var script string

// early closes the tables before they are laid out, which takes seconds where there are thousands of rows. The script opens them again if
// it cannot go on.
const early = `document.documentElement.className = "js"`

//go:embed assets/page.css
var style string

//go:embed assets/page.html
var markup string

// HTML is the page.
func HTML(in Input) ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{"sig": sig, "at": at, "percent": percent, "tools": func(id, of string) tools { return tools{id, of} }}).Parse(markup)
	if err != nil {
		return nil, fmt.Errorf("report.html: %w", err)
	}
	v := newView(in)
	if v.Data, err = data(v); err != nil {
		return nil, fmt.Errorf("report.html: %w", err)
	}
	v.Style, v.Early, v.Library, v.Script = template.CSS(style), early, template.JS(library), template.JS(script)
	v.Policy = fmt.Sprintf("default-src 'none'; script-src %s %s %s; style-src %s; img-src data:; base-uri 'none'; form-action 'none'",
		hash(early), hash(library), hash(script), hash(style))
	var b bytes.Buffer
	b.Grow(2 << 20)
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("report.html: %w", err)
	}
	return b.Bytes(), nil
}

// tools are the buttons of a table.
type tools struct{ ID, Of string }

// hash is what a policy calls an element by whose content is text.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// StampLength is as much of a page as holds its stamp.
const StampLength = 512

// Stamped reports whether the page that begins with head knows of what the stamp says.
func Stamped(head []byte, stamp string) bool {
	return bytes.Contains(head, []byte(`<meta name="vtune-stamp" content="`+template.HTMLEscapeString(stamp)+`">`))
}
