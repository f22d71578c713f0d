package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Get is the newest content of an object, whole and checked; fs.ErrNotExist where there is none.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, Object, error) {
	var m memory
	o, err := b.fetch(ctx, name, &m)
	if err != nil {
		return nil, Object{}, err
	}
	return m.Bytes(), o, nil
}

// GetFile puts the newest content of an object into a file (0644) of an existing directory. The file appears, or is replaced, when
// all of it is there and checked; until then it has another name, which fsx.Temporary knows.
func (b *Bucket) GetFile(ctx context.Context, name, path string) (o Object, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-")
	if err != nil {
		return Object{}, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if o, err = b.fetch(ctx, name, file{f}); err != nil {
		return Object{}, err
	}
	if err = errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return Object{}, err
	}
	return o, os.Rename(f.Name(), path)
}

// sink takes content that may have to begin again.
type sink interface {
	io.Writer
	Restart() error
}

type memory struct{ bytes.Buffer }

func (m *memory) Restart() error { m.Reset(); return nil }

type file struct{ *os.File }

func (f file) Restart() error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// fetch reads an object. What broke off goes on where it was while the generation is still there, else it begins anew; so it does
// once when the sum is wrong.
func (b *Bucket) fetch(ctx context.Context, name string, to sink) (Object, error) {
	if err := checkName(name); err != nil {
		return Object{}, err
	}
	d := download{b: b, name: name, to: to}
	if err := d.restart(); err != nil {
		return Object{}, err
	}
	mismatches := 0
	for try := 1; ; try++ {
		before := d.got
		err := d.more(ctx)
		if err == nil {
			if d.got == d.o.Size && d.sum == d.o.CRC32C {
				return d.o, nil
			}
			err = fmt.Errorf("%d bytes (crc32c %08x) came of %d (%08x)", d.got, d.sum, d.o.Size, d.o.CRC32C)
			if mismatches++; mismatches > 1 {
				return Object{}, fmt.Errorf("read gs://%s/%s: %w", b.name, name, err)
			}
			if err := d.restart(); err != nil {
				return Object{}, err
			}
			continue
		}
		var local *os.PathError
		if errors.Is(err, errGone) {
			if err := d.restart(); err != nil {
				return Object{}, err
			}
		} else if !errors.Is(err, errBroken) || errors.As(err, &local) {
			return Object{}, b.explain("read", name, err)
		} else if d.got > before {
			try = 1 // it goes forward
		}
		if try >= readTries || ctx.Err() != nil || b.sleep(ctx, try) != nil {
			return Object{}, b.explain("read", name, err)
		}
	}
}

var (
	errGone   = errors.New("the object was replaced while it was read")
	errBroken = errors.New("the answer broke off")
)

// download is one object on its way.
type download struct {
	b    *Bucket
	name string
	to   sink
	o    Object // of the generation that is being read
	got  int64
	sum  uint32
}

func (d *download) restart() error {
	d.o, d.got, d.sum = Object{}, 0, 0
	return d.to.Restart()
}

// more reads what is missing, by one request.
func (d *download) more(ctx context.Context) error {
	c := d.b.objects.Get(d.b.name, d.name).Context(ctx)
	resuming := d.got > 0
	if resuming {
		c.Generation(d.o.Generation)
		c.Header().Set("Range", fmt.Sprintf("bytes=%d-", d.got))
	}
	resp, err := c.Download()
	if err != nil {
		if code := statusOf(err); resuming && (code == http.StatusNotFound || code == http.StatusRequestedRangeNotSatisfiable) {
			return errGone
		}
		if statusOf(err) == 0 && judge(err) != refused {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		return err
	}
	defer resp.Body.Close()
	o, err := described(d.name, resp.Header)
	if err != nil {
		return err
	}
	switch {
	case !resuming:
		if o.Size < 0 {
			o.Size = resp.ContentLength
		}
		d.o = o
	case resp.StatusCode != http.StatusPartialContent || o.Generation != d.o.Generation ||
		!strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.got)):
		return errGone
	}
	return d.copy(resp.Body)
}

// copy tells errors of the network, which may be mended, from those of the sink.
func (d *download) copy(from io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := d.to.Write(buf[:n]); err != nil {
				return err
			}
			d.got += int64(n)
			d.sum = crc32.Update(d.sum, castagnoli, buf[:n])
		}
		switch {
		case err == io.EOF && d.o.Size >= 0 && d.got < d.o.Size:
			return fmt.Errorf("%w after %d bytes of %d", errBroken, d.got, d.o.Size)
		case err == io.EOF:
			if d.o.Size < 0 {
				d.o.Size = d.got
			}
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", errBroken, err)
		}
	}
}

// described is what the headers of a download say of the whole object, also of one of which a part comes. Size -1: they do not say.
func described(name string, h http.Header) (Object, error) {
	o := Object{Name: name, Size: -1}
	var err error
	if o.Generation, err = strconv.ParseInt(h.Get("X-Goog-Generation"), 10, 64); err != nil {
		return Object{}, fmt.Errorf("the answer names no generation")
	}
	if size, err := strconv.ParseInt(h.Get("X-Goog-Stored-Content-Length"), 10, 64); err == nil {
		o.Size = size
	}
	// Several sums, in one header or in one each.
	for _, line := range h.Values("X-Goog-Hash") {
		for part := range strings.SplitSeq(line, ",") {
			if sum, ok := strings.CutPrefix(strings.TrimSpace(part), "crc32c="); ok {
				o.CRC32C, err = decodeCRC(sum)
				return o, err
			}
		}
	}
	return Object{}, fmt.Errorf("the answer has no crc32c")
}
