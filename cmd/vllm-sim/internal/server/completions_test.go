package server

import (
	"encoding/json"
	"slices"
	"testing"

	"vtune/internal/sim"
)

func TestPromptsAreATextOrTokenIDs(t *testing.T) {
	for _, tc := range []struct {
		json string
		text string
		ids  []int
		bad  bool
	}{
		{json: `"a b"`, text: "a b"},
		{json: `["a b"]`, text: "a b"},
		{json: `[1, 22,333]`, ids: []int{1, 22, 333}},
		{json: `[[1,2]]`, ids: []int{1, 2}},
		{json: `[-7]`, ids: []int{-7}},
		{json: `[]`},
		{json: `[1,"a"]`, bad: true},
		{json: `["a","b"]`, bad: true},
		{json: `[1.5]`, bad: true},
		{json: `[1e3]`, bad: true},
		{json: `{"a":1}`, bad: true},
		{json: `[99999999999999999999]`, bad: true},
	} {
		var p prompt
		err := json.Unmarshal([]byte(tc.json), &p)
		if (err != nil) != tc.bad {
			t.Errorf("%s: %v", tc.json, err)
			continue
		}
		if !tc.bad && (p.text != tc.text || !slices.Equal(p.ids, tc.ids)) {
			t.Errorf("%s: got %+v", tc.json, p)
		}
	}
}

func FuzzCompletion(f *testing.F) {
	for _, s := range []string{
		`{"prompt":[1,2,3],"max_tokens":5,"stream":true,"stream_options":{"include_usage":true}}`,
		`{"prompt":"text"}`, `{"prompt":[[1]]}`, `{"prompt":[9223372036854775807,1]}`, `{"prompt":null}`,
		`{"prompt":[1],"max_tokens":9223372036854775807}`, `{"prompt":[-]}`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	m := sim.GuessModel("tiny")
	f.Fuzz(func(t *testing.T, body []byte) {
		_, r, err := parseCompletion(body, m, 1024)
		if err != nil {
			return
		}
		if r.Prompt < 1 || r.MaxTokens < 1 || r.Prompt+r.MaxTokens > 1024 || len(r.Blocks) != r.Prompt/sim.BlockSize {
			t.Errorf("accepted %+v", r)
		}
	})
}

// parseIDs is a short cut for encoding/json and must agree with it.
func FuzzTokenIDs(f *testing.F) {
	f.Add([]byte(`[1,2,3]`))
	f.Add([]byte(`[ 1 , -2 ]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`[[1]]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return // json.Unmarshal never hands such over
		}
		got, ok := parseIDs(data)
		var want []int
		if err := json.Unmarshal(data, &want); ok && (err != nil || !slices.Equal(got, want)) {
			t.Errorf("%s: got %v, encoding/json %v, %v", data, got, want, err)
		}
	})
}
