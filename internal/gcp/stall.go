package gcp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// silence is the longest time in which no byte of an answer comes. A body may take as long as it has to, while it comes.
const silence = time.Minute

var errSilent = errors.New("the answer stopped coming")

// patient ends answers whose body stops coming: no timeout of net/http does, but one for all of it.
type patient struct {
	base    http.RoundTripper
	silence time.Duration
}

func (p patient) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	resp, err := p.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	b := &body{ReadCloser: resp.Body, end: cancel, silence: p.silence}
	b.timer = time.AfterFunc(p.silence, func() {
		b.silent.Store(true)
		cancel()
	})
	resp.Body = b
	return resp, nil
}

type body struct {
	io.ReadCloser
	end     context.CancelFunc
	silence time.Duration
	timer   *time.Timer
	silent  atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.silence)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop() // how long the reader takes is its own affair
	if err != nil && err != io.EOF && b.silent.Load() {
		err = errSilent
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	defer b.end()
	return b.ReadCloser.Close()
}
