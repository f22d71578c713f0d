package screen

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"vtune/internal/report"
)

// Counter says how far a long work has come: on a terminal in a line that is rewritten, elsewhere in a line now and then, and nothing of what
// is done at once. It looks at the clock where something is counted and has no goroutine: what stands still shows nothing new.
// Its methods may be called from several goroutines.
//
// The progress bars of others (schollz/progressbar, bubbles/progress) bring a clock and a terminal of their own, and no way to keep quiet.
type Counter struct {
	w     io.Writer
	now   func() time.Time
	guard sync.Mutex
	work
}

// work is what is counted now.
type work struct {
	what        string // in the past tense: "scripts written"
	done, total int
	since, told time.Time
	shown       bool
}

const (
	quiet = time.Second            // what takes less is not worth a word
	often = 200 * time.Millisecond // a line that is rewritten
	rare  = 10 * time.Second       // lines that stay, as in a log
)

// NewCounter counts to total, 0 where that is not known, and tells w, which may be a Talk.
func NewCounter(w io.Writer, now func() time.Time, what string, total int) *Counter {
	return &Counter{w: w, now: now, work: work{what: what, total: total, since: now()}}
}

// Add counts n more.
func (c *Counter) Add(n int) {
	c.guard.Lock()
	defer c.guard.Unlock()
	c.done += n
	c.tell()
}

// Progress says how far some work is: of total, 0 where that is not known. Other work than before begins anew. An empty what ends it, and so
// does a total that is reached. Of several goroutines the slower one's word may come late.
func (c *Counter) Progress(done, total int, what string) {
	c.guard.Lock()
	defer c.guard.Unlock()
	if what != c.what {
		c.end()
		c.work = work{what: what, since: c.now()}
	}
	c.done, c.total = max(c.done, done), total
	if what != "" {
		c.tell()
	}
	if total > 0 && c.done >= total {
		c.end()
		c.work = work{}
	}
}

// Close leaves the line to others.
func (c *Counter) Close() {
	c.guard.Lock()
	defer c.guard.Unlock()
	c.end()
}

func (c *Counter) end() {
	if t, ok := c.w.(*Talk); ok && c.shown {
		t.Rewrite("")
	}
	c.shown = false
}

func (c *Counter) tell() {
	t, ok := c.w.(*Talk)
	rewrites := ok && t.rewrites()
	now, pause := c.now(), rare
	if rewrites {
		pause = often
	}
	// A log's first line comes no sooner than its second: ten seconds are nothing to whoever reads it later.
	if took := now.Sub(c.since); took < quiet || !rewrites && took < rare || now.Sub(c.told) < pause {
		return
	}
	c.told = now
	if rewrites {
		c.shown = true
		t.Rewrite(c.line(now))
		return
	}
	fmt.Fprintln(c.w, c.line(now))
}

// line is what is known: so many, how fast, and how long it may still take at that pace.
func (c *Counter) line(now time.Time) string {
	parts := []string{fmt.Sprintf("%s: %s", c.what, thousands(c.done))}
	if c.total > 0 {
		parts[0] += fmt.Sprintf(" of %s", thousands(c.total))
	}
	took := now.Sub(c.since).Seconds()
	if rate := float64(c.done) / took; rate > 0 {
		if rate >= 10 {
			parts = append(parts, thousands(int(rate))+" a second")
		} else {
			parts = append(parts, fmt.Sprintf("%.1f a second", rate))
		}
		if left := float64(c.total-c.done) / rate; left > 0 {
			parts = append(parts, "about "+report.Roughly(time.Duration(left*float64(time.Second))))
		}
	}
	return strings.Join(parts, ", ")
}

// thousands is n in groups of three digits: 10,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
