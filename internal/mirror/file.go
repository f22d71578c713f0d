package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/mirror/memory"
	"vtune/internal/mirror/names"
)

// look is the file here, as an entry without a generation. A file of another size than asked for is not read: its sum is 0.
// A symbolic link counts for a file only where links are what goes up.
func (m *Mirror) look(name string, r names.Rule, size int64) (e memory.Entry, here bool, err error) {
	stat := os.Lstat
	if r.Linked {
		stat = os.Stat
	}
	info, err := stat(m.local(name))
	if absent(err) || err == nil && !info.Mode().IsRegular() {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	e = memory.Entry{Size: info.Size(), MTime: info.ModTime().UnixNano()}
	if e.Size == size {
		e.CRC32C, err = sumFile(m.local(name))
	}
	return e, true, err
}

func sumFile(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, err = io.Copy(h, f)
	return h.Sum32(), err
}

// settle makes a file here what it is in the bucket, as far as that is the bucket's to say.
func (m *Mirror) settle(ctx context.Context, w *want, durable bool) error {
	if w.rule.Hollow {
		return m.hollow(w.name)
	}
	m.guard.Lock()
	known, remembered := m.mem.Files[w.name]
	m.guard.Unlock()
	e, here, err := m.look(w.name, w.rule, w.size)
	if err != nil {
		return err
	}
	same := here && e.Size == w.size && e.CRC32C == w.sum
	if same || here && names.IsEvent(w.name) {
		return m.note(w, e)
	}
	// What was written here since it was last as in the bucket goes up; it is not lost to what others say.
	if here && !w.rule.Fixed && w.rule.Whose == names.Ours && remembered && (known.Size != e.Size || known.MTime != e.MTime) {
		return nil
	}
	data := w.data
	later := !remembered || w.told.Writer == known.Writer && w.told.Seq > int64(known.Seq)
	generation := int64(0)
	if !w.have || !w.rule.Fixed && !later {
		var o bucket.Object
		if data, o, err = m.c.Store.Get(ctx, m.object(w.name)); absent(err) {
			m.refuse("%s is told of and not there", w.name)
			return nil
		} else if err != nil {
			return err
		}
		generation = o.Generation
	}
	if held := sum(data); w.rule.Fixed && held != w.sum {
		return &DiffersError{Path: w.name, Here: w.sum, Held: held}
	}
	if here && w.rule.Fixed && !(w.rule.First && !remembered) {
		old, err := os.ReadFile(m.local(w.name))
		if err != nil {
			return err
		}
		if !cutOff(old, data) {
			return &DiffersError{Path: w.name, Here: sum(old), Held: sum(data)}
		}
	}
	if err := m.write(w.name, data, w.rule.Mode(), durable); err != nil {
		return err
	}
	info, err := os.Lstat(m.local(w.name))
	if err != nil {
		return err
	}
	return m.note(w, memory.Entry{Size: int64(len(data)), MTime: info.ModTime().UnixNano(), CRC32C: sum(data), Generation: generation})
}

// note remembers a file that is as in the bucket.
func (m *Mirror) note(w *want, e memory.Entry) error {
	m.guard.Lock()
	defer m.guard.Unlock()
	if known := m.mem.Files[w.name]; e.Generation == 0 && known.CRC32C == e.CRC32C && known.Size == e.Size {
		e.Generation = known.Generation
	}
	e.Writer, e.Seq = w.told.Writer, int(w.told.Seq)
	m.remember(w.name, w.rule, e)
	return nil
}

// cutOff reports whether a file is what a crash of the whole machine leaves of one that was written: a beginning, or zeros.
func cutOff(old, data []byte) bool {
	return bytes.HasPrefix(data, bytes.TrimRight(old, "\x00"))
}

// write makes a file appear whole. What is not durable becomes so with the flush that follows, before mirror.json says that it is here.
func (m *Mirror) write(name string, data []byte, perm fs.FileMode, durable bool) error {
	if err := m.folder(name); err != nil {
		return err
	}
	m.guard.Lock()
	m.pulled.Files++
	m.guard.Unlock()
	path := m.local(name)
	if durable {
		return fsx.Publish(path, data, perm)
	}
	temp := fmt.Sprintf("%s.tmp-%d", path, os.Getpid())
	if err := fsx.Draft(temp, data, perm); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(temp))
	}
	fsx.Point("mirror.placed", path)
	return nil
}

// hollow makes an empty file that stands for a log.
func (m *Mirror) hollow(name string) error {
	if _, err := os.Lstat(m.local(name)); !absent(err) {
		return err
	}
	if err := m.folder(name); err != nil {
		return err
	}
	f, err := m.root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, names.Of(name).Mode())
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}
