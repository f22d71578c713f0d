package porter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/record"
	"vtune/internal/worker/remote"
)

// log is how much of a growing file is up.
type log struct {
	parts  int
	offset int64
	since  time.Time // what is not up may be as old as this
}

// grown puts up what a log has grown by since the last time, if that is much, or old, or the end.
func (p *Porter) grown(ctx context.Context, i item) error {
	l := p.logs[i.path]
	if l == nil {
		l = &log{since: p.Now()}
		if err := p.adopt(ctx, i.path, l); err != nil {
			return err
		}
		p.logs[i.path] = l
	}
	f, err := os.Open(p.Local(i.path))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for {
		left := info.Size() - l.offset
		switch {
		case left < 0:
			return fmt.Errorf("%s: shorter than what was put up of it: %w", i.path, ErrConflict)
		case left == 0:
			l.since = p.Now()
			return nil
		case left < p.Piece && !i.over && p.Now().Sub(l.since) < p.Age:
			return nil
		}
		data := make([]byte, min(left, p.Piece))
		if _, err := io.ReadFull(io.NewSectionReader(f, l.offset, int64(len(data))), data); err != nil {
			return err
		}
		switch err := p.create(ctx, record.PartName(i.path, l.parts+1), data, nil); {
		case errors.Is(err, ErrConflict): // a try whose answer was lost, when the log was shorter
			before := *l
			if err := p.adopt(ctx, i.path, l); err != nil {
				return err
			}
			if *l == before {
				return err
			}
			continue
		case err != nil:
			return err
		}
		l.parts, l.offset, l.since = l.parts+1, l.offset+int64(len(data)), p.Now()
		p.add(i.path, l.parts, data)
	}
}

// adopt goes on after the pieces that are in the bucket already, if they are of this file. The worker's own log goes on after those of
// another machine that had its unit before.
func (p *Porter) adopt(ctx context.Context, path string, l *log) error {
	f, err := os.Open(p.Local(path))
	if err != nil {
		return err
	}
	defer f.Close()
	return p.List(ctx, path+".part-", record.PartName(path, l.parts+1), func(name string, o bucket.Object) error {
		data := make([]byte, o.Size)
		_, err := io.ReadFull(io.NewSectionReader(f, l.offset, o.Size), data)
		same := name == record.PartName(path, l.parts+1) && err == nil && remote.Checksum(data) == o.CRC32C
		if !same && path == p.Rel(p.Dir.JobLog(p.Unit)) {
			l.parts++
			return nil
		}
		if !same {
			return fmt.Errorf("%s: %w", name, ErrConflict)
		}
		l.parts, l.offset = l.parts+1, l.offset+o.Size
		p.add(path, l.parts, data)
		return nil
	})
}
