package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"vtune/cmd/vllm-sim/internal/engine"
	"vtune/internal/sim"
)

// completion is what the simulation understands of a request to
// /v1/completions. Random weights never end a text, so `ignore_eos` changes
// nothing: an answer always has max_tokens tokens.
type completion struct {
	Model     string `json:"model"`
	Prompt    prompt `json:"prompt"`
	MaxTokens *int   `json:"max_tokens"`
	Stream    bool   `json:"stream"`
	Options   *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// prompt is one text or one list of token ids.
type prompt struct {
	text string
	ids  []int
}

// maxBody bounds a request: a prompt of the longest model in token ids.
const maxBody = 8 << 20

// UnmarshalJSON takes a text, token ids, or a list with one of either. Token
// ids are by far the most of what a server reads, so they are not left to
// reflection.
func (p *prompt) UnmarshalJSON(data []byte) error {
	*p = prompt{}
	if data[0] == '"' {
		return json.Unmarshal(data, &p.text)
	}
	if ids, ok := parseIDs(data); ok {
		p.ids = ids
		return nil
	}
	var several []json.RawMessage
	if err := json.Unmarshal(data, &several); err != nil || len(several) != 1 {
		return errors.New("prompt must be a text or a list of token ids, one of it")
	}
	if several[0][0] == '"' {
		return json.Unmarshal(several[0], &p.text)
	}
	return json.Unmarshal(several[0], &p.ids)
}

// parseIDs reads a valid JSON array of integers; anything else is not ok.
func parseIDs(data []byte) (ids []int, ok bool) {
	if len(data) < 2 || data[0] != '[' {
		return nil, false
	}
	ids = make([]int, 0, len(data)/5)
	value, digits, sign := 0, 0, 1
	for _, c := range data[1:] {
		switch {
		case c >= '0' && c <= '9' && digits < 18:
			value, digits = 10*value+int(c-'0'), digits+1
		case c == '-' && digits == 0:
			sign = -1
		case c == ',' || c == ']':
			if digits == 0 {
				return nil, len(data) == 2
			}
			ids = append(ids, sign*value)
			value, digits, sign = 0, 0, 1
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
		default:
			return nil, false
		}
	}
	return ids, true
}

// tokens gives a text the four characters a token that are usual for English.
func (p prompt) tokens(vocabulary int) []int {
	if p.text == "" {
		return p.ids
	}
	var ids []int
	for rest := p.text; rest != ""; {
		n := min(4, len(rest))
		id := 0
		for _, b := range []byte(rest[:n]) {
			id = id*257 + int(b)
		}
		ids = append(ids, id%vocabulary)
		rest = rest[n:]
	}
	return ids
}

// badRequest is an answer with status 400.
type badRequest string

func (e badRequest) Error() string { return string(e) }

// parseCompletion checks what the real server checks, and turns a request into
// the engine's terms. Errors are badRequests.
func parseCompletion(body []byte, m sim.Model, maxLength int) (completion, sim.Request, error) {
	var c completion
	if err := json.Unmarshal(body, &c); err != nil {
		return c, sim.Request{}, badRequest(err.Error())
	}
	output := 16 // the OpenAI default
	if c.MaxTokens != nil {
		output = *c.MaxTokens
	}
	ids := c.Prompt.tokens(m.Vocabulary)
	switch {
	case len(ids) == 0:
		return c, sim.Request{}, badRequest("Either prompt or prompt_embeds must be provided and non-empty.")
	case output < 1:
		return c, sim.Request{}, badRequest(fmt.Sprintf("max_tokens must be at least 1, got %d.", output))
	case len(ids) >= maxLength || output > maxLength-len(ids):
		return c, sim.Request{}, badRequest(fmt.Sprintf("This model's maximum context length is %d tokens. However, you requested %d output tokens and your prompt contains %d input tokens. Please reduce the length of the input prompt or the number of requested output tokens.", maxLength, output, len(ids)))
	}
	for _, id := range ids {
		if id < 0 || id >= m.Vocabulary {
			return c, sim.Request{}, badRequest(fmt.Sprintf("Token id %d is out of vocabulary", id))
		}
	}
	return c, sim.Request{Prompt: len(ids), MaxTokens: output, Blocks: sim.HashTokens(ids)}, nil
}

func (a *api) completions(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, http.StatusBadRequest, "BadRequestError", err.Error())
		return
	}
	config := a.options.engine.Config
	c, request, err := parseCompletion(body, config.Model, config.Options.MaxLength)
	if err != nil {
		writeError(w, http.StatusBadRequest, "BadRequestError", err.Error())
		return
	}
	if c.Model != "" && c.Model != a.options.servedName {
		writeError(w, http.StatusNotFound, "NotFoundError", fmt.Sprintf("The model `%s` does not exist.", c.Model))
		return
	}
	id, s := a.begin()
	defer a.end(id)
	if a.options.engine.Faults.Drops(int(id)) {
		writeError(w, http.StatusInternalServerError, "InternalServerError", "simulated loss of a request (VLLM_SIM_FAIL)")
		return
	}
	request.ID = id
	a.engine.Send(engine.Order{Kind: engine.Add, Request: request})
	out := answer{w: w, id: fmt.Sprintf("cmpl-sim-%d", id), created: time.Now().Unix(), model: a.options.servedName, request: request, stream: c.Stream}
	out.usage = c.Options != nil && c.Options.IncludeUsage
	for {
		select {
		case <-s.wake:
			tokens, last := a.collect(s)
			if out.add(tokens, last); last {
				return
			}
		case <-r.Context().Done():
			a.engine.Send(engine.Order{Kind: engine.Abort, Request: request})
			return
		case <-a.engine.Gone():
			out.broken()
			return
		}
	}
}

// answer writes a completion, streamed or at once.
type answer struct {
	w       http.ResponseWriter
	id      string
	created int64
	model   string
	request sim.Request
	stream  bool
	usage   bool
	begun   bool
	tokens  int
}

const word = " sim"

// add passes tokens on: one event however many there are.
func (a *answer) add(tokens int, last bool) {
	a.tokens += tokens
	if !a.stream {
		if last {
			writeJSON(a.w, http.StatusOK, a.object(strings.Repeat(word, a.tokens), "length", a.count()))
		}
		return
	}
	a.begin()
	reason := any(nil)
	if last {
		reason = "length"
	}
	a.event(a.object(strings.Repeat(word, tokens), reason, nil))
	if last {
		if a.usage {
			final := a.object("", nil, a.count())
			final["choices"] = []any{}
			a.event(final)
		}
		_, _ = io.WriteString(a.w, "data: [DONE]\n\n") // a client that has gone needs no end
	}
	_ = http.NewResponseController(a.w).Flush()
}

func (a *answer) begin() {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		a.w.WriteHeader(http.StatusOK)
	}
}

func (a *answer) event(object map[string]any) {
	text, err := json.Marshal(object)
	if err == nil {
		_, err = fmt.Fprintf(a.w, "data: %s\n\n", text)
	}
	_ = err // the client has gone, which the request's context says as well
}

func (a *answer) object(text string, reason, usage any) map[string]any {
	return map[string]any{
		"id": a.id, "object": "text_completion", "created": a.created, "model": a.model, "usage": usage,
		"choices": []any{map[string]any{"index": 0, "text": text, "logprobs": nil, "finish_reason": reason, "stop_reason": nil}},
	}
}

func (a *answer) count() map[string]int {
	return map[string]int{"prompt_tokens": a.request.Prompt, "completion_tokens": a.tokens, "total_tokens": a.request.Prompt + a.tokens}
}

// broken ends an answer whose engine has died.
func (a *answer) broken() {
	const message = "EngineCore encountered an issue. See stack trace (above) for the root cause."
	if !a.begun {
		writeError(a.w, http.StatusInternalServerError, "InternalServerError", message)
		return
	}
	a.event(errorObject(http.StatusInternalServerError, "InternalServerError", message))
	_ = http.NewResponseController(a.w).Flush()
}

func writeError(w http.ResponseWriter, status int, kind, message string) {
	writeJSON(w, status, errorObject(status, kind, message))
}

func errorObject(status int, kind, message string) map[string]any {
	return map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": status}}
}
