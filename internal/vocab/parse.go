package vocab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// idMost is far above any vocabulary; a larger id is a damaged file.
const idMost = 1 << 24

// parse finds the usable ids in a model's files, each nil if it is not there. At least one of tokenizer and config is.
func parse(tokenizer, tokenizerConfig, config []byte) ([]int, error) {
	t := tokens{ids: map[int]bool{}, special: map[int]bool{}, named: map[string]int{}}
	if tokenizer != nil {
		if err := t.addTokenizer(tokenizer); err != nil {
			return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
		}
	}
	size := 0
	if config != nil {
		var err error
		if size, err = t.addConfig(config); err != nil {
			return nil, fmt.Errorf("%s: %w", configFile, err)
		}
	}
	if tokenizer == nil {
		if size == 0 {
			return nil, fmt.Errorf("no %s, and no vocab_size in %s", tokenizerFile, configFile)
		}
		for _, id := range FromSize(size).IDs {
			t.ids[id] = true
		}
	}
	if tokenizerConfig != nil {
		if err := t.addTokenizerConfig(tokenizerConfig); err != nil {
			return nil, fmt.Errorf("%s: %w", tokenizerConfigFile, err)
		}
	}
	var usable []int
	for id := range t.ids {
		// A tokenizer can have more ids than the model has rows for, and a server refuses those.
		if id >= 0 && id < idMost && (size == 0 || id < size) && !t.special[id] {
			usable = append(usable, id)
		}
	}
	slices.Sort(usable)
	if len(usable) < 2 {
		return nil, fmt.Errorf("%d usable token ids", len(usable))
	}
	return usable, nil
}

// tokens is what the files have said so far.
type tokens struct {
	ids, special map[int]bool
	named        map[string]int
}

type addedToken struct {
	ID      int    `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

func (t *tokens) addTokenizer(data []byte) error {
	var file struct {
		Added []addedToken `json:"added_tokens"`
		Model struct {
			Vocab json.RawMessage `json:"vocab"`
		} `json:"model"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	// BPE, WordPiece and WordLevel have a map from token to id, Unigram a list whose positions are the ids.
	switch vocab := bytes.TrimSpace(file.Model.Vocab); {
	case bytes.HasPrefix(vocab, []byte("{")):
		if err := json.Unmarshal(vocab, &t.named); err != nil {
			return fmt.Errorf("model.vocab: %w", err)
		}
	case bytes.HasPrefix(vocab, []byte("[")):
		var list []json.RawMessage
		if err := json.Unmarshal(vocab, &list); err != nil {
			return fmt.Errorf("model.vocab: %w", err)
		}
		for id, pair := range list {
			var token []any
			if err := json.Unmarshal(pair, &token); err != nil || len(token) == 0 {
				return fmt.Errorf("model.vocab: entry %d is no pair of a token and its score", id)
			}
			if name, ok := token[0].(string); ok {
				t.named[name] = id
			}
			t.ids[id] = true
		}
	default:
		return errors.New("model.vocab is neither a map nor a list")
	}
	for _, id := range t.named {
		t.ids[id] = true
	}
	for _, a := range file.Added {
		t.add(a)
	}
	return nil
}

func (t *tokens) add(a addedToken) {
	t.named[a.Content] = a.ID
	if a.Special {
		t.special[a.ID] = true
	} else {
		t.ids[a.ID] = true
	}
}

// addTokenizerConfig takes out what this file calls special. Tokens that only this file has are not added: the tokenizer proper
// is the one that a server encodes with.
func (t *tokens) addTokenizerConfig(data []byte) error {
	var file map[string]json.RawMessage
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	if raw, ok := file["added_tokens_decoder"]; ok {
		var added map[int]addedToken
		if err := json.Unmarshal(raw, &added); err != nil {
			return fmt.Errorf("added_tokens_decoder: %w", err)
		}
		for id, a := range added {
			if a.Special {
				t.special[id] = true
			}
		}
	}
	for _, key := range []string{"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"} {
		var name string
		var object addedToken
		switch raw := file[key]; { // a text, or an object that has it, or null
		case json.Unmarshal(raw, &name) == nil:
		case json.Unmarshal(raw, &object) == nil:
			name = object.Content
		}
		if id, ok := t.named[name]; ok && name != "" {
			t.special[id] = true
		}
	}
	return nil
}

// addConfig returns the number of ids that the model has, 0 if the file does not say.
func (t *tokens) addConfig(data []byte) (size int, err error) {
	var file map[string]json.RawMessage
	if err := json.Unmarshal(data, &file); err != nil {
		return 0, err
	}
	// Models that see or hear keep the text's part in a part of the file.
	for _, part := range []map[string]json.RawMessage{file, object(file["text_config"])} {
		if raw, ok := part["vocab_size"]; ok && size == 0 {
			if err := json.Unmarshal(raw, &size); err != nil {
				return 0, fmt.Errorf("vocab_size: %w", err)
			}
			if size < 0 || size > idMost {
				return 0, fmt.Errorf("a vocab_size of %d", size)
			}
		}
		for key, raw := range part { // bos_token_id, eos_token_id, image_token_id, image_token_index and their like
			if strings.HasSuffix(key, "_token_id") || strings.HasSuffix(key, "_token_index") {
				for _, id := range numbers(raw) {
					t.special[id] = true
				}
			}
		}
	}
	return size, nil
}

func object(raw json.RawMessage) map[string]json.RawMessage {
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o
}

// numbers are one id, or a list of them, or none.
func numbers(raw json.RawMessage) []int {
	var one *int
	if json.Unmarshal(raw, &one) == nil {
		if one == nil {
			return nil
		}
		return []int{*one}
	}
	var many []int
	if json.Unmarshal(raw, &many) != nil {
		return nil
	}
	return many
}
