package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vtune/internal/bucket/buckettest"
	"vtune/internal/fsx"
)

func lease(pid int, alive func(fsx.Owner) bool) fsx.LeaseConfig {
	return fsx.LeaseConfig{
		Me:   fsx.Owner{Host: "here", User: "me", PID: pid, Start: fmt.Sprint(pid), Doing: "test"},
		Beat: 10 * time.Millisecond, Stale: 400 * time.Millisecond, Alive: alive,
	}
}

func acquire(t testing.TB, b *Bucket, name string, cfg fsx.LeaseConfig) *Lease {
	t.Helper()
	l, err := b.Acquire(t.Context(), name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// kill ends an owner's beat as its death would: the object stays.
func (l *Lease) kill() {
	l.stop()
	<-l.done
}

func wantHolder(t testing.TB, b *Bucket, name string, pid int) {
	t.Helper()
	if o, held := b.Holder(t.Context(), name); held != (pid != 0) || o.PID != pid {
		t.Errorf("held %v by %+v, want %d", held, o, pid)
	}
}

func wantLost(t testing.TB, l *Lease) {
	t.Helper()
	select {
	case <-l.Lost():
	case <-time.After(10 * time.Second):
		t.Error("the owner never learns that it lost the lease")
	}
}

func TestLeases(t *testing.T) { everywhere(t, leases) }

func leases(t *testing.T, s server) {
	judged := map[string]func(fsx.Owner) bool{"by its beat": nil, "at once": func(o fsx.Owner) bool { return o.PID != 1 }}
	t.Run("a living owner keeps its lease", func(t *testing.T) {
		for how, alive := range map[string]func(fsx.Owner) bool{"by its beat": nil, "at once": func(fsx.Owner) bool { return true }} {
			b, prefix := s.bucket(t)
			l := acquire(t, b, prefix+"lease", lease(1, alive))
			wantHolder(t, b, prefix+"lease", 1)
			var held *fsx.HeldError
			if _, err := b.Acquire(t.Context(), prefix+"lease", lease(2, alive)); !errors.As(err, &held) || held.By.PID != 1 {
				t.Fatalf("judged %s, second owner: %v", how, err)
			}
			select {
			case <-l.Lost():
				t.Errorf("judged %s: lost", how)
			default:
			}
			if err := l.Release(); err != nil {
				t.Fatal(err)
			}
			wantHolder(t, b, prefix+"lease", 0)
			if err := acquire(t, b, prefix+"lease", lease(2, alive)).Release(); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a dead owner's lease is taken over, and its late release changes nothing", func(t *testing.T) {
		for how, alive := range judged {
			b, prefix := s.bucket(t)
			dead := acquire(t, b, prefix+"lease", lease(1, alive))
			dead.kill()
			since := time.Now()
			l := acquire(t, b, prefix+"lease", lease(2, alive))
			if took := time.Since(since); (alive == nil) != (took >= 400*time.Millisecond) {
				t.Errorf("judged %s, it took %v", how, took)
			}
			if err := dead.Release(); err != nil {
				t.Fatal(err)
			}
			wantHolder(t, b, prefix+"lease", 2)
			if err := l.Release(); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("an owner elsewhere is judged by its beat alone", func(t *testing.T) {
		b, prefix := s.bucket(t)
		cfg := lease(1, nil)
		cfg.Me.Host = "elsewhere"
		l := acquire(t, b, prefix+"lease", cfg)
		var held *fsx.HeldError
		if _, err := b.Acquire(t.Context(), prefix+"lease", lease(2, func(fsx.Owner) bool { return false })); !errors.As(err, &held) {
			t.Errorf("error %v", err)
		}
		l.Release()
	})
	t.Run("of many one takes a dead owner's lease", func(t *testing.T) {
		b, prefix := s.bucket(t)
		acquire(t, b, prefix+"lease", lease(1, judged["at once"])).kill()
		var got atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				var held *fsx.HeldError
				switch l, err := b.Acquire(t.Context(), prefix+"lease", lease(2+i, judged["at once"])); {
				case err == nil:
					got.Add(1)
					t.Cleanup(func() { l.Release() })
				case !errors.As(err, &held):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			t.Errorf("%d of 8 took it", got.Load())
		}
	})
	t.Run("what nobody can read is taken over", func(t *testing.T) {
		b, prefix := s.bucket(t)
		put(t, b, prefix+"lease", "no lease", 0)
		acquire(t, b, prefix+"lease", lease(1, nil)).Release()
	})
	t.Run("an owner learns that its lease was taken over, or removed", func(t *testing.T) {
		b, prefix := s.bucket(t)
		slow := acquire(t, b, prefix+"lease", lease(1, nil))
		// It lives, but is taken for dead.
		l := acquire(t, b, prefix+"lease", lease(2, judged["at once"]))
		wantLost(t, slow)
		wantHolder(t, b, prefix+"lease", 2)
		if err := slow.Release(); err != nil {
			t.Error(err)
		}
		if err := b.Delete(t.Context(), prefix+"lease", 0); err != nil {
			t.Fatal(err)
		}
		wantLost(t, l)
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	})
	t.Run("who waits for an owner can be told to stop", func(t *testing.T) {
		b, prefix := s.bucket(t)
		acquire(t, b, prefix+"lease", lease(1, nil)).kill()
		cfg := lease(2, nil)
		cfg.Stale = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := b.Acquire(ctx, prefix+"lease", cfg); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// A beat of which no answer comes has been written all the same, so that the next one is for a generation that is no more.
func TestAnOwnerWhoseBeatsGetNoAnswerKeepsItsLease(t *testing.T) {
	endpoint := strict(t)
	var n, cut atomic.Int32
	deaf := at(t, buckettest.Proxy(t, endpoint, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost && n.Add(1) > 1 && n.Load() <= 20:
				cut.Add(1)
				buckettest.Cut(next, w, r)
			case r.Method == http.MethodGet && n.Load() > 1 && n.Load() <= 20 && r.URL.Query().Get("alt") != "media":
				buckettest.HangUp(w) // nor can it look
			default:
				next.ServeHTTP(w, r)
			}
		})
	}))
	l := acquire(t, deaf, "lease", lease(1, nil))
	for deadline := time.Now().Add(20 * time.Second); n.Load() < 25 && time.Now().Before(deadline); {
		select {
		case <-l.Lost():
			t.Fatal("lost to nobody")
		case <-time.After(5 * time.Millisecond):
		}
	}
	if n.Load() < 25 || cut.Load() == 0 {
		t.Fatalf("%d beats, %d of them without an answer", n.Load(), cut.Load())
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	wantHolder(t, at(t, endpoint), "lease", 0)
}
