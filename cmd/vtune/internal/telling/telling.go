// Package telling writes what a run found in the form that somebody asks for.
package telling

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"vtune/cmd/vtune/internal/reading"
	"vtune/collect/answers"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/report/tables"
)

// HTML is the form that is a page; the others are for terminals, pull requests, programs and notebooks.
const HTML = "html"

// Report writes r in a format to a file, or to out where the file is "-" or, of all but the page, none is named. The page's own place is in
// the run's directory.
func Report(r *reading.Run, format, file string, out io.Writer) error {
	data, err := content(r, format)
	if err != nil {
		return err
	}
	if file == "-" || file == "" && format != HTML {
		_, err := out.Write(data)
		return err
	}
	path := file
	if path == "" {
		path = r.Dir.Report()
	}
	if err := fsx.Deliver(path, data, 0o644); err != nil {
		switch {
		case file != "":
			return diag.Wrap(err, diag.Usage, "name a file that can be written with -o")
		case errors.Is(err, fs.ErrPermission):
			return diag.Wrap(err, diag.Usage, "somebody else's run: name a file with -o, or print it with -o -")
		}
		return err
	}
	_, err = fmt.Fprintln(out, path)
	return err
}

func content(r *reading.Run, format string) ([]byte, error) {
	switch format {
	case HTML:
		return answers.Page(r.Dir, r.Run, r.State, func(record.State) (string, error) { return r.ServeCommand() })
	case "text":
		return []byte(tables.Text(r.Run, r.State)), nil
	case "markdown":
		return []byte(tables.Markdown(r.Run, r.State)), nil
	case "csv":
		return tables.CSV(r.Run, r.State)
	case "json":
		return report.ResultJSON(r.Run, r.State)
	}
	return nil, diag.Wrap(fmt.Errorf("there is no format %q", format), diag.Usage, "html, text, markdown, json or csv")
}
