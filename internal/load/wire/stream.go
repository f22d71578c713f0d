package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Answer is what one stream brought. It is reused, so that a chunk costs no memory.
type Answer struct {
	Now   func() time.Duration
	Begun func(first time.Duration) // told the first chunk when it comes; nil: nobody

	Chunks      int
	First, Last time.Duration // chunks
	Gaps        []uint32      // µs between neighbouring chunks
	Usage       *Usage        // nil: the server did not say
	buffer      []byte
}

// Usage is how many tokens the server counted.
type Usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
}

// Reset makes it ready for another stream.
func (a *Answer) Reset() {
	a.Chunks, a.First, a.Last, a.Gaps, a.Usage = 0, 0, 0, a.Gaps[:0], nil
}

// Asked is what the server's usage must say; -1: nothing to hold it against.
type Asked struct {
	Usage              bool // that there is one
	Prompt, Completion int
}

// maxLine bounds one server-sent event, so that a server gone mad cannot fill the memory of the client.
const maxLine = 1 << 20

var (
	errNoToken = errors.New("the stream ended without a token")
	errNoUsage = errors.New("the server counted no tokens, which it was asked to do (stream_options.include_usage)")
)

// check holds the server's count against what it was asked for. Another length is another workload.
func (a *Answer) check(want Asked) error {
	switch {
	case !want.Usage:
		return nil
	case a.Usage == nil:
		return errNoUsage
	case want.Prompt >= 0 && a.Usage.Prompt != want.Prompt:
		return fmt.Errorf("the server counted %d tokens of prompt, %d were sent", a.Usage.Prompt, want.Prompt)
	case want.Completion >= 0 && a.Usage.Completion != want.Completion:
		return fmt.Errorf("the server made %d tokens, %d were asked for", a.Usage.Completion, want.Completion)
	}
	return nil
}

// read takes server-sent events until [DONE] and stamps every chunk that has a choice. One chunk can carry several tokens or
// an empty text, so tokens are counted by the usage chunk and never by chunks.
func (a *Answer) read(r io.Reader) error {
	if a.buffer == nil {
		a.buffer = make([]byte, 4096)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(a.buffer, maxLine)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(bytes.TrimSpace(lines.Bytes()), []byte("data:"))
		if !ok {
			continue // empty lines and comments
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			if a.Chunks == 0 {
				return errNoToken
			}
			return nil
		}
		if err := a.event(data); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	return errors.New("the stream broke off before [DONE]")
}

func (a *Answer) event(data []byte) error {
	e, err := scanEvent(data)
	if err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	if e.choices {
		a.chunk(a.Now())
	}
	if e.failure != nil {
		return fmt.Errorf("the server broke off: %s", clip(e.failure))
	}
	if e.usage != nil {
		var u Usage
		if err := json.Unmarshal(e.usage, &u); err != nil {
			return fmt.Errorf("read stream: usage: %w", err)
		}
		a.Usage = &u
	}
	return nil
}

func (a *Answer) chunk(at time.Duration) {
	if a.Chunks++; a.Chunks == 1 {
		a.First = at
		if a.Begun != nil {
			a.Begun(at)
		}
	} else {
		a.Gaps = append(a.Gaps, micros(at-a.Last))
	}
	a.Last = at
}

// event is what matters of one chunk.
type event struct {
	choices        bool   // there is at least one
	usage, failure []byte // nil if absent or null
}

var errEvent = errors.New("an event that is no JSON object")

// scanEvent finds the three fields that matter among the keys of an object. encoding/json took most of a client's time. Values
// are skipped by their brackets and strings, so a key inside of them, or a generated text that looks like one, is not found.
func scanEvent(data []byte) (event, error) {
	var e event
	i := space(data, 0)
	if i == len(data) || data[i] != '{' {
		return e, errEvent
	}
	if i = space(data, i+1); i < len(data) && data[i] == '}' {
		return e, end(data, i+1)
	}
	for {
		from := i
		if i = stringEnd(data, i); i < 0 {
			return e, errEvent
		}
		key := data[from+1 : i-1]
		if i = space(data, i); i == len(data) || data[i] != ':' {
			return e, errEvent
		}
		from = space(data, i+1)
		if i = valueEnd(data, from); i < 0 {
			return e, errEvent
		}
		value := data[from:i]
		switch string(key) {
		case "choices":
			e.choices = value[0] == '[' && value[space(value, 1)] != ']'
		case "usage":
			e.usage = present(value)
		case "error":
			e.failure = present(value)
		}
		if i = space(data, i); i == len(data) {
			return e, errEvent
		}
		switch data[i] {
		case ',':
			i = space(data, i+1)
		case '}':
			return e, end(data, i+1)
		default:
			return e, errEvent
		}
	}
}

func present(value []byte) []byte {
	if string(value) == "null" {
		return nil
	}
	return value
}

func end(data []byte, i int) error {
	if space(data, i) != len(data) {
		return errEvent
	}
	return nil
}

func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\r' || data[i] == '\n') {
		i++
	}
	return i
}

// stringEnd is the index behind the string that begins at i; -1 if there is none.
func stringEnd(data []byte, i int) int {
	if i >= len(data) || data[i] != '"' {
		return -1
	}
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// valueEnd is the index behind the value that begins at i; -1 if it does not end.
func valueEnd(data []byte, i int) int {
	if i >= len(data) {
		return -1
	}
	switch data[i] {
	case '"':
		return stringEnd(data, i)
	case '{', '[':
	default: // a number or a word
		from := i
		for i < len(data) && data[i] != ',' && data[i] != '}' && data[i] != ']' && space(data, i) == i {
			i++
		}
		if word := data[from:i]; !digits(word) && string(word) != "null" && !json.Valid(word) {
			return -1
		}
		return i
	}
	for depth := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			if i = stringEnd(data, i) - 1; i < 0 {
				return -1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// digits spares json.Valid, which is slow, what nearly all bare values are.
func digits(word []byte) bool {
	for _, c := range word {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(word) > 0 && (word[0] != '0' || len(word) == 1)
}

// clip bounds what a server says about a failure.
func clip(text []byte) []byte {
	const most = 500
	if len(text) > most {
		return append(bytes.ToValidUTF8(text[:most], nil), "..."...)
	}
	return text
}

// micros saturates at 71 minutes, which no server makes a client wait for a chunk.
func micros(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
}
