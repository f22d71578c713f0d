package load

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

const (
	timelinesHeader = "vtune timelines 1\n"
	// errorMost bounds a request's error in a file: a thousand requests can fail with the same page of HTML.
	errorMost = 512
	// timelinesMost bounds what a file unpacks to, since a few bytes of gzip can be a thousand times as many. It is some ten
	// million gaps for each hour of a large run.
	timelinesMost = 256 << 20
)

// Bits of a record.
const (
	hasSent = 1 << iota
	hasFirst
	hasDone
	hasError
	isAborted
	allBits = 1<<iota - 1
)

// WriteTimelines writes requests as a compact file: a line with its version, then, gzipped, one record a request of variable-length
// integers. Times are the differences in µs of neighbours, gaps as they are.
func WriteTimelines(w io.Writer, requests []Timeline) error {
	if _, err := io.WriteString(w, timelinesHeader); err != nil {
		return fmt.Errorf("write timelines: %w", err)
	}
	z := gzip.NewWriter(w)
	var record []byte
	last := time.Duration(0)
	for _, t := range requests {
		record = appendTimeline(record[:0], t, last)
		last = t.Due
		if _, err := z.Write(record); err != nil {
			return fmt.Errorf("write timelines: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write timelines: %w", err)
	}
	return nil
}

func appendTimeline(to []byte, t Timeline, lastDue time.Duration) []byte {
	bits := byte(0)
	for bit, set := range map[byte]bool{hasSent: t.Sent != 0, hasFirst: t.First != 0, hasDone: t.Done != 0, hasError: t.Error != "", isAborted: t.Aborted} {
		if set {
			bits |= bit
		}
	}
	to = append(to, bits)
	to = binary.AppendVarint(to, (t.Due - lastDue).Microseconds())
	to = binary.AppendVarint(to, t.Held.Microseconds())
	at := t.Due
	for _, next := range []time.Duration{t.Sent, t.First, t.Done} {
		if next != 0 {
			to = binary.AppendVarint(to, (next - at).Microseconds())
			at = next
		}
	}
	to = binary.AppendVarint(to, int64(t.PromptTokens))
	to = binary.AppendVarint(to, int64(t.OutputTokens))
	if t.Error != "" {
		text := boundedError(t.Error)
		to = binary.AppendUvarint(to, uint64(len(text)))
		to = append(to, text...)
	}
	to = binary.AppendUvarint(to, uint64(len(t.Gaps)))
	for _, gap := range t.Gaps {
		to = binary.AppendUvarint(to, uint64(gap))
	}
	return to
}

// boundedError cuts between characters.
func boundedError(text string) string {
	if len(text) <= errorMost {
		return text
	}
	cut := errorMost
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// ReadTimelines reads what WriteTimelines wrote.
func ReadTimelines(r io.Reader) ([]Timeline, error) {
	requests, err := readTimelines(r, timelinesMost)
	if err != nil {
		return nil, fmt.Errorf("read timelines: %w", err)
	}
	return requests, nil
}

var errTimeline = errors.New("a damaged record")

func readTimelines(r io.Reader, most int64) ([]Timeline, error) {
	header := make([]byte, len(timelinesHeader))
	if _, err := io.ReadFull(r, header); err != nil || !bytes.Equal(header, []byte(timelinesHeader)) {
		return nil, fmt.Errorf("not a file of timelines of this version: it begins with %q", header)
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: z, N: most}
	in := &integers{Reader: bufio.NewReader(limited)}
	var requests []Timeline
	due := time.Duration(0)
	for {
		bits, err := in.ReadByte()
		var t Timeline
		if err == nil {
			t, err = in.timeline(bits, due)
		}
		switch {
		case err != nil && limited.N == 0:
			return nil, fmt.Errorf("more than %d MiB of timelines", most>>20)
		case errors.Is(err, io.EOF):
			return requests, nil
		case err != nil:
			return nil, err
		}
		due = t.Due
		requests = append(requests, t)
	}
}

// integers reads numbers until the first that is none, and then zeros.
type integers struct {
	*bufio.Reader
	err error
}

func (in *integers) timeline(bits byte, lastDue time.Duration) (Timeline, error) {
	t := Timeline{Aborted: bits&isAborted != 0}
	t.Due = lastDue + in.micros()
	t.Held = in.micros()
	at := t.Due
	for bit, to := range []*time.Duration{&t.Sent, &t.First, &t.Done} {
		if bits&(1<<bit) != 0 {
			*to = at + in.micros()
			at = *to
		}
	}
	t.PromptTokens, t.OutputTokens = int(in.signed()), int(in.signed())
	if bits&hasError != 0 {
		n := in.unsigned()
		if n > errorMost {
			return t, errTimeline
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return t, errTimeline
		}
		t.Error = string(text)
	}
	// Gaps are taken as they come: a number of them that is made up must not cost its memory.
	for n := in.unsigned(); n > 0 && in.err == nil; n-- {
		gap := in.unsigned()
		if gap > 1<<32-1 {
			return t, errTimeline
		}
		t.Gaps = append(t.Gaps, uint32(gap))
	}
	if in.err != nil || bits > allBits {
		return t, errTimeline
	}
	return t, nil
}

func (in *integers) unsigned() uint64 {
	if in.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(in)
	in.err = err
	return n
}

func (in *integers) signed() int64 {
	if in.err != nil {
		return 0
	}
	n, err := binary.ReadVarint(in)
	in.err = err
	return n
}

// micros refuses what no duration can hold.
func (in *integers) micros() time.Duration {
	const most = int64(1) << 62 / int64(time.Microsecond) / 8
	n := in.signed()
	if n > most || n < -most {
		in.err = errTimeline
		return 0
	}
	return time.Duration(n) * time.Microsecond
}
