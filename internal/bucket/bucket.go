// Package bucket is to a bucket of Google Cloud Storage what internal/fsx is to a shared file system: few operations, each whole
// or not at all, and none that may have happened is repeated without looking.
//
// It is built on google.golang.org/api/storage/v1, the plain JSON interface. A static vtune is 23 MB with it, and 50 MB with
// cloud.google.com/go/storage, which brings gRPC and OpenTelemetry's exporters. What that library would do beyond it is here, after
// rules of this project: preconditions on the generation for every write, checksums both ways, and a lost answer settled by a look.
package bucket

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"strings"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"vtune/internal/gcp"
)

// Object is what is known of an object without its content. Get and GetFile leave Metadata and Updated empty.
type Object struct {
	Name       string
	Generation int64 // changes with each write, and never comes again
	Size       int64
	CRC32C     uint32 // Castagnoli, of the whole content
	Metadata   map[string]string
	Updated    time.Time // by the bucket's clock
}

// Bucket is one bucket. Its methods may be called from any goroutine.
type Bucket struct {
	name    string
	objects *storage.ObjectsService
	watch   *watch
	pause   func(try int) time.Duration // before a write is tried again
	atOnce  int64
	chunk   int
}

// ErrChanged is returned where an object is not, or no longer, of the generation that a write was for. It is fs.ErrExist too.
var ErrChanged error = changed{}

type changed struct{}

func (changed) Error() string        { return "the object in the bucket is another one" }
func (changed) Is(target error) bool { return target == fs.ErrExist }

// ErrUnsettled is returned for a write of which no answer came, and none could be had afterwards either: it may have happened.
var ErrUnsettled = errors.New("it is not known whether this was written")

const (
	emulatorVariable = "STORAGE_EMULATOR_HOST"
	endpointVariable = "VTUNE_STORAGE_ENDPOINT"
	googles          = "https://storage.googleapis.com/"
)

// Open prepares the use of a bucket; nothing is asked of it yet. env (nil: os.LookupEnv) may name another endpoint:
// STORAGE_EMULATOR_HOST, to which no credentials are sent, or VTUNE_STORAGE_ENDPOINT. Without credentials the error has a hint.
func Open(ctx context.Context, name string, env func(string) (string, bool)) (*Bucket, error) {
	if env == nil {
		env = os.LookupEnv
	}
	return open(ctx, name, gcp.Options{Env: env})
}

func open(ctx context.Context, name string, o gcp.Options) (*Bucket, error) {
	if err := checkBucket(name); err != nil {
		return nil, err
	}
	endpoint := googles
	if e, ok := o.Env(emulatorVariable); ok && e != "" {
		endpoint, o.Anonymous = e, true
	} else if e, ok := o.Env(endpointVariable); ok && e != "" {
		endpoint = e
	}
	base, err := basePath(endpoint)
	if err != nil {
		return nil, err
	}
	if o.Base == nil {
		o.Base = gcp.Transport()
	}
	w := newWatch(o.Base)
	o.Base = w
	client, err := gcp.Client(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	s, err := storage.NewService(ctx, option.WithHTTPClient(client), option.WithEndpoint(base))
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	s.UserAgent = "vtune"
	return &Bucket{name: name, objects: s.Objects, watch: w, pause: pause(o), atOnce: atOnce, chunk: chunk}, nil
}

// basePath is where the interface begins at an endpoint. Uploads have a path beside it, so an endpoint has no path of its own.
func basePath(endpoint string) (string, error) {
	e := strings.TrimSuffix(strings.TrimSuffix(endpoint, "/"), "/storage/v1")
	if !strings.Contains(e, "://") {
		e = "http://" + e // as Google's own libraries take STORAGE_EMULATOR_HOST
	}
	scheme, host, _ := strings.Cut(e, "://")
	if scheme != "http" && scheme != "https" || host == "" || strings.ContainsAny(host, "/?#@ ") {
		return "", fmt.Errorf("%q is no endpoint: http(s)://HOST[:PORT]", endpoint)
	}
	return e + "/storage/v1/", nil
}

// Now is the bucket's time: the Date of its last answer, carried on by this machine's monotonic clock. It is right to about a
// second, whatever the wall clock here says; before the first answer it is that wall clock.
func (b *Bucket) Now() time.Time { return b.watch.now() }

// Calls are the requests made so far, each try counted, by kind: list, get, put, delete, stat.
func (b *Bucket) Calls() map[string]int { return b.watch.counts() }

// pageSize is the most that the interface gives in one answer.
const pageSize = 1000

// List calls each with the objects below prefix whose names are not before from, in the order of their names (as bytes). It ends
// with the first error of each.
func (b *Bucket) List(ctx context.Context, prefix, from string, each func(Object) error) error {
	last, token := "", ""
	for {
		var page *storage.Objects
		err := b.read(ctx, func() (err error) {
			c := b.objects.List(b.name).Prefix(prefix).MaxResults(pageSize).Projection("noAcl").Context(ctx).
				Fields("nextPageToken", "items(name,generation,size,crc32c,metadata,updated)")
			if from != "" {
				c.StartOffset(from)
			}
			if token != "" {
				c.PageToken(token)
			}
			page, err = c.Do()
			return err
		})
		if err != nil {
			return b.explain("list", prefix, err)
		}
		for _, item := range page.Items {
			if item.Name < from || !strings.HasPrefix(item.Name, prefix) {
				continue
			}
			// Whoever goes on later from the last name it saw must not miss one.
			if item.Name <= last {
				return fmt.Errorf("list gs://%s/%s: %q came after %q", b.name, prefix, item.Name, last)
			}
			last = item.Name
			o, err := object(item)
			if err != nil {
				return fmt.Errorf("list gs://%s/%s: %w", b.name, prefix, err)
			}
			if err := each(o); err != nil {
				return err
			}
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
	}
}

// Stat is what is known of the object that is there now; fs.ErrNotExist where there is none.
func (b *Bucket) Stat(ctx context.Context, name string) (Object, error) {
	o, _, err := b.stat(ctx, name)
	return o, err
}

// stat knows the writer as well.
func (b *Bucket) stat(ctx context.Context, name string) (o Object, writer string, err error) {
	if err := checkName(name); err != nil {
		return Object{}, "", err
	}
	var item *storage.Object
	err = b.read(ctx, func() (err error) {
		item, err = b.objects.Get(b.name, name).Projection("noAcl").Context(ctx).Do()
		return err
	})
	if err != nil {
		return Object{}, "", b.explain("look at", name, err)
	}
	if o, err = object(item); err != nil {
		return Object{}, "", fmt.Errorf("look at gs://%s/%s: %w", b.name, name, err)
	}
	return o, item.Metadata[writerKey], nil
}

// Delete removes the object if it is of that generation, else ErrChanged; generation 0: whatever is there. One that is not there
// is no error.
func (b *Bucket) Delete(ctx context.Context, name string, generation int64) error {
	if err := checkName(name); err != nil {
		return err
	}
	c := b.objects.Delete(b.name, name).Context(ctx)
	if generation != 0 {
		c.IfGenerationMatch(generation)
	}
	// The client repeats a DELETE itself. Had an earlier try been carried out, the next finds nothing, which is what was wanted.
	err := b.explain("delete", name, c.Do())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeCRC(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func decodeCRC(s string) (uint32, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, fmt.Errorf("%q is no crc32c", s)
	}
	return binary.BigEndian.Uint32(b), nil
}

func object(item *storage.Object) (Object, error) {
	sum, err := decodeCRC(item.Crc32c)
	if err != nil {
		return Object{}, fmt.Errorf("%s: %w", item.Name, err)
	}
	o := Object{Name: item.Name, Generation: item.Generation, Size: int64(item.Size), CRC32C: sum, Metadata: maps.Clone(item.Metadata)}
	delete(o.Metadata, writerKey)
	// Only people read it.
	o.Updated, _ = time.Parse(time.RFC3339, item.Updated)
	return o, nil
}
