package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path"
	"time"

	"github.com/google/uuid"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/storage/v1"
)

// writerKey is in the metadata of each object, with a value that is of one call to Put or PutFile alone. By it a writer that got no
// answer knows its own work.
const writerKey = "vtune-writer"

const (
	// atOnce is the largest file that is sent in one request, and kept in memory for it.
	atOnce = 1 << 20
	// chunk is what is sent of a larger one at a time: what has to be in memory, and what is lost when a connection breaks.
	chunk = 8 << 20
	// chunkPatience bounds the repetitions of a chunk, and one try of it.
	chunkPatience = 2 * time.Minute
	// onePatience bounds one try to write an object in one request.
	onePatience = 2 * time.Minute
)

// Put writes an object, whole or not at all, if the one that is there is of that generation; 0: if there is none. Else ErrChanged.
// Of several who create one name, one succeeds. Where no answer came it is looked whether it was written before it is sent again;
// ErrUnsettled if even that could not be found out.
func (b *Bucket) Put(ctx context.Context, name string, data []byte, generation int64, meta map[string]string) (Object, error) {
	return b.write(ctx, write{
		name: name, generation: generation, meta: meta, size: int64(len(data)), sum: crc32.Checksum(data, castagnoli),
		media: func(c *storage.ObjectsInsertCall) context.CancelFunc {
			c.Media(bytes.NewReader(data), googleapi.ContentType(contentType(name)), googleapi.ChunkSize(0))
			one, cancel := context.WithTimeout(ctx, onePatience)
			c.Context(one)
			return cancel
		},
	})
}

// PutFile is Put of a file's content, which is read in pieces and never wholly in memory. What is appended to the file meanwhile is
// left out.
func (b *Bucket) PutFile(ctx context.Context, name, path string, generation int64) (Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return Object{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Object{}, err
	}
	size := info.Size()
	if size <= b.atOnce {
		data := make([]byte, size)
		if _, err := io.ReadFull(io.NewSectionReader(f, 0, size), data); err != nil {
			return Object{}, fmt.Errorf("%s: %w", path, err)
		}
		return b.Put(ctx, name, data, generation, nil)
	}
	sum := crc32.New(castagnoli)
	if _, err := io.CopyN(sum, io.NewSectionReader(f, 0, size), size); err != nil {
		return Object{}, fmt.Errorf("%s: %w", path, err)
	}
	return b.write(ctx, write{
		name: name, generation: generation, size: size, sum: sum.Sum32(), chunked: true,
		media: func(c *storage.ObjectsInsertCall) context.CancelFunc {
			c.Media(io.NewSectionReader(f, 0, size), googleapi.ContentType(contentType(name)), googleapi.ChunkSize(b.chunk),
				googleapi.ChunkRetryDeadline(chunkPatience), googleapi.ChunkTransferTimeout(chunkPatience))
			// Beyond these the library takes an answer that did not come at all for final.
			c.Context(ctx).WithRetry(nil, func(err error) bool { return err != nil && ctx.Err() == nil && judge(err) != refused })
			return func() {}
		},
	})
}

// contentType is for people who look at the bucket in a browser.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".json":
		return "application/json"
	case ".txt", ".log", ".md", ".sh", ".yaml":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

type write struct {
	name       string
	generation int64
	meta       map[string]string
	size       int64
	sum        uint32
	chunked    bool // in an upload of several requests
	// media gives the call its content, once for each try, and its context.
	media func(*storage.ObjectsInsertCall) context.CancelFunc
}

func (b *Bucket) write(ctx context.Context, w write) (Object, error) {
	if err := checkName(w.name); err != nil {
		return Object{}, err
	}
	me := uuid.NewString()
	meta := map[string]string{writerKey: me}
	maps.Copy(meta, w.meta)
	open := false // a try was sent that may still be carried out
	for try := 1; ; try++ {
		item, err := b.insert(w, meta)
		if err == nil {
			return b.written(ctx, w, item)
		}
		what := judge(err)
		if code := statusOf(err); w.chunked && (code == http.StatusNotFound || code == http.StatusGone) && !noBucket(err) {
			what = unknown // it is the upload that is not known any more: given up, or done
		}
		open = open || what == unknown
		if what == refused && !open {
			return Object{}, b.explain("write", w.name, err)
		}
		if open {
			// Also a refusal may be one that an earlier try of ours has caused.
			o, settled, serr := b.settle(ctx, w, me)
			if settled {
				return o, serr
			}
			if serr != nil {
				err = fmt.Errorf("%w (and then: %w)", err, serr)
			}
		}
		if what == refused {
			return Object{}, b.explain("write", w.name, err)
		}
		if try == writeTries || ctx.Err() != nil || b.sleep(ctx, try) != nil {
			err = b.explain("write", w.name, err)
			if open {
				err = errors.Join(ErrUnsettled, err)
			}
			return Object{}, err
		}
	}
}

func (b *Bucket) insert(w write, meta map[string]string) (*storage.Object, error) {
	c := b.objects.Insert(b.name, &storage.Object{
		Name: w.name, Crc32c: encodeCRC(w.sum), Metadata: meta,
		// Objects that everybody may read are kept by caches otherwise, for an hour.
		CacheControl: "no-store",
	}).IfGenerationMatch(w.generation).Projection("noAcl")
	defer w.media(c)()
	return c.Do()
}

// written checks what the bucket says it has. It was told the checksum, and refuses what does not match; an emulator may not. What
// is wrong must not stay: nobody could write that name any more.
func (b *Bucket) written(ctx context.Context, w write, item *storage.Object) (Object, error) {
	o, err := object(item)
	if err != nil {
		return Object{}, fmt.Errorf("write gs://%s/%s: %w", b.name, w.name, err)
	}
	if o.CRC32C != w.sum || o.Size != w.size {
		return Object{}, errors.Join(fmt.Errorf("write gs://%s/%s: the bucket has %d bytes (crc32c %08x) of %d (%08x)",
			b.name, w.name, o.Size, o.CRC32C, w.size, w.sum), b.Delete(ctx, w.name, o.Generation))
	}
	return o, nil
}

// settle looks whether a write that got no answer has happened. It has not settled anything while the object is as it was before:
// the write may still arrive. It is then sent again, and its precondition keeps it from happening twice.
func (b *Bucket) settle(ctx context.Context, w write, me string) (o Object, settled bool, err error) {
	o, writer, err := b.stat(ctx, w.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if w.generation == 0 {
			return Object{}, false, nil
		}
		return Object{}, true, fmt.Errorf("write gs://%s/%s: it is gone: %w", b.name, w.name, ErrChanged)
	case err != nil:
		return Object{}, false, err
	case writer == me:
		if o.CRC32C != w.sum || o.Size != w.size {
			return Object{}, true, fmt.Errorf("write gs://%s/%s: what is there is not what was sent", b.name, w.name)
		}
		return o, true, nil
	case o.Generation == w.generation:
		return Object{}, false, nil
	}
	// Somebody else's: then ours cannot happen any more, or it happened and was replaced since. Either way it is not there.
	return Object{}, true, fmt.Errorf("write gs://%s/%s: %w", b.name, w.name, ErrChanged)
}
