package live

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/screen"
	"vtune/internal/diag"
	"vtune/internal/record"
)

func TestWithoutATerminalATableComesWhenItIsAnother(t *testing.T) {
	var out, talk bytes.Buffer
	looks := []Look{
		{Text: "one\n", Remark: "nobody collects\n"},
		{Text: "one\n", Remark: "nobody collects\n"},
		{Text: "two\n"},
		{Text: "two\n"},
		{Text: "over\n", State: record.State{Phase: record.PhaseOver}},
	}
	n := 0
	err := Onlook(t.Context(), Config{Talk: screen.NewTalk(&talk, nil)}, time.Nanosecond, &out, func(context.Context) (Look, error) {
		n++
		return looks[n-1], nil
	})
	if err != nil || n != len(looks) || out.String() != "one\ntwo\nover\n" || talk.String() != "nobody collects\n" {
		t.Errorf("%v after %d looks: %q, and beside it %q", err, n, out.String(), talk.String())
	}
}

func TestWhoIsInterruptedIsToldSo(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var out bytes.Buffer
	err := Onlook(ctx, Config{Talk: screen.NewTalk(&out, nil)}, time.Hour, &out, func(context.Context) (Look, error) {
		stop()
		return Look{}, errors.New("cut off by that")
	})
	if diag.CodeOf(err) != diag.Interrupted {
		t.Errorf("%v", err)
	}
}
