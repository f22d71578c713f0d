package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/vllm"
)

// Saved is one run as the client saved it, with what `--metadata` or a sweep wrote beside.
type Saved struct {
	Told    Told // Requests and Rate as the client understood them
	Metrics record.Metrics
	Ended   time.Time // the client's clock, of which no zone is known; zero: not said
	Object  int       // which of the file's objects it is, from 0
	Alone   bool      // the file holds no other
}

// ParseSaved reads what `vllm bench serve --save-result` writes: an object, or several one after the other (--append-result), or a list
// of them (a sweep's summary.json). Objects that are no benchmark's are passed over: other programs keep JSON in such folders too. A
// date is taken for one of zone.
func ParseSaved(file string, data []byte, zone *time.Location) (all []Saved, ps diag.Problems) {
	plain := vllm.PlainJSON(data)
	raws, err := objects(plain)
	if err != nil {
		line, col := place(plain, err)
		ps = append(ps, problem(file, line, col, "is cut off, or no JSON: %v", err))
	}
	for i, raw := range raws {
		s, ok, err := saved(raw, zone)
		if err != nil {
			ps = append(ps, problem(file, 0, 0, "run %d of %d: %v", i+1, len(raws), err))
			continue
		}
		if s.Object, s.Alone = i, len(raws) == 1; ok {
			all = append(all, s)
		}
	}
	return all, ps
}

// Object is one of the objects that ParseSaved finds, by its number; nil where there is none.
func Object(data []byte, n int) []byte {
	if raws, _ := objects(vllm.PlainJSON(data)); n < len(raws) {
		return raws[n]
	}
	return nil
}

// objects are the JSON objects of a file, up to the first place where it is none.
func objects(plain []byte) (all []json.RawMessage, err error) {
	for d := json.NewDecoder(bytes.NewReader(plain)); ; {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		if raw[0] != '[' {
			all = append(all, raw)
			continue
		}
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return all, err
		}
		all = append(all, list...)
	}
}

// place is the line and column of a JSON error, or of the end of data.
func place(data []byte, err error) (line, col int) {
	at := int64(len(data))
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at = min(max(syntax.Offset-1, 0), at)
	}
	before := data[:at]
	return 1 + bytes.Count(before, []byte("\n")), 1 + len(before) - 1 - bytes.LastIndexByte(before, '\n')
}

// saved reads one object; ok is false where it is none of the client's.
func saved(raw []byte, zone *time.Location) (s Saved, ok bool, err error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields["completed"] == nil || fields["request_throughput"] == nil {
		return s, false, nil
	}
	r, err := vllm.ParseBench(raw)
	if err != nil {
		return s, false, err
	}
	s.Metrics = r.Metrics
	for name, value := range fields {
		text, isScalar := scalar(value)
		if !isScalar {
			continue
		}
		switch name {
		case "date":
			s.Ended, _ = time.ParseInLocation("20060102-150405", text, zone)
		case "model_id":
			s.Told.Model = text
		case "model": // a sweep's own word, of which the client made model_id
		default:
			if err := s.Told.take(name, text); err != nil {
				return s, false, err
			}
		}
	}
	s.Told.Requests, s.Told.Rate = r.Sent, r.Rate
	return s, true, nil
}

// scalar is a JSON value as the words of a command line.
func scalar(raw json.RawMessage) (string, bool) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return "", false
	}
	switch v := v.(type) {
	case string:
		return v, v != ""
	case json.Number:
		return strings.TrimSuffix(v.String(), ".0"), true
	}
	return "", false
}
