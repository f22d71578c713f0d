package tuning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"vtune/collect"
	"vtune/collect/fleet"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/search"
)

// Repeat notes that cells are to be measured again, and returns those that nobody had asked for yet. It needs no lease: a record is
// made once, whoever makes it, and whoever collects acts on it.
func (t *Tuning) Repeat(ctx context.Context, w fleet.Wish) ([]record.Repeat, error) {
	if t.foreign != nil {
		return nil, t.foreign
	}
	if err := t.Pull(ctx); err != nil {
		return nil, err
	}
	if _, err := os.Stat(t.Dir.Cancelled()); err == nil {
		return nil, diag.Wrap(fmt.Errorf("run %s was cancelled", t.Dir), diag.Usage,
			fmt.Sprintf("%s submit --new %s starts another", t.world.Program, t.Dir.Spec()))
	}
	if t.Plan.Policy.Method != search.Vtune {
		return nil, diag.Errorf(diag.Usage, "method %s measures no cell twice", t.Plan.Policy.Method)
	}
	scan := collect.Scanner{Dir: t.Dir}
	snap, err := scan.Scan()
	if err != nil {
		return nil, err
	}
	w.By = UserName()
	all, err := fleet.Wished(collect.Derive(snap), snap.Fleet(), w)
	if err != nil {
		return nil, diag.Wrap(err, diag.Usage, fmt.Sprintf("%s status %s shows the cells", t.world.Program, t.Dir))
	}
	var asked []record.Repeat
	for _, r := range all {
		r.At = t.world.Now().UTC()
		switch err := fleet.Ask(t.Dir, r); {
		case errors.Is(err, fs.ErrExist):
		case err != nil:
			return asked, err
		default:
			asked = append(asked, r)
		}
	}
	return asked, t.Push(ctx)
}
