package wire

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// Body is one request's, in a buffer that another request gets when nobody reads it any more.
type Body struct {
	Data    []byte
	readers atomic.Int32 // and who made it
	free    func(*Body)
}

// NewBody is given back to free when it was done with.
func NewBody(free func(*Body)) *Body { return &Body{free: free} }

// Hold keeps the buffer until as many Done.
func (b *Body) Hold() { b.readers.Add(1) }

// Done takes one of them away.
func (b *Body) Done() {
	if b.readers.Add(-1) == 0 {
		b.free(b)
	}
}

// reader is what net/http sends from. It may still read when the answer has come, and ask for another reader to send once
// more over a connection that was not closed yet.
func (b *Body) reader() io.ReadCloser {
	b.Hold()
	return &bodyReader{Reader: bytes.NewReader(b.Data), body: b}
}

type bodyReader struct {
	*bytes.Reader
	body *Body
	once sync.Once
}

func (r *bodyReader) Close() error {
	r.once.Do(r.body.Done)
	return nil
}
