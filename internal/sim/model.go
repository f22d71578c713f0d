package sim

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Model is the shape of a dense decoder. Everything else about it (parameters,
// bytes per token of KV cache, operations per token) follows from the shape.
type Model struct {
	Name         string
	Layers       int
	Hidden       int
	Intermediate int
	Heads        int
	KVHeads      int
	HeadDim      int
	Vocabulary   int
	MaxLength    int
	WeightBytes  int // per parameter: 2 for bf16 and fp16, 4 for fp32
}

var models = [...]Model{
	{
		Name: "8b", Layers: 32, Hidden: 4096, Intermediate: 14336, Heads: 32, KVHeads: 8, HeadDim: 128,
		Vocabulary: 128256, MaxLength: 131072, WeightBytes: 2,
	},
	{
		Name: "70b", Layers: 80, Hidden: 8192, Intermediate: 28672, Heads: 64, KVHeads: 8, HeadDim: 128,
		Vocabulary: 128256, MaxLength: 131072, WeightBytes: 2,
	},
	{
		Name: "tiny", Layers: 8, Hidden: 512, Intermediate: 1536, Heads: 8, KVHeads: 4, HeadDim: 64,
		Vocabulary: 32000, MaxLength: 8192, WeightBytes: 2,
	},
}

// ModelNamed finds a row of the table of shapes.
func ModelNamed(name string) (Model, error) {
	var names []string
	for _, m := range models {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Model{}, fmt.Errorf("no simulated model is called %q: there is %s", name, strings.Join(names, ", "))
}

// GuessModel picks a shape from what people call their models
// ("meta-llama/Llama-3.1-70B-Instruct"). A name that says nothing is 8b, the
// most common size, rather than an error: a guess is overruled by one flag.
func GuessModel(name string) Model {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r == '-' || r == '_' || r == '/' || r == ' '
	})
	guess := models[0]
	for _, word := range words {
		for _, m := range models {
			if word == m.Name {
				guess = m
			}
		}
	}
	return guess
}

// ParseModel reads a Hugging Face config.json. It returns an error for a file
// that is not JSON or lacks a dimension, since a wrong shape would be believed.
func ParseModel(config []byte) (Model, error) {
	var c struct {
		Type         string `json:"model_type"`
		Layers       int    `json:"num_hidden_layers"`
		Hidden       int    `json:"hidden_size"`
		Intermediate int    `json:"intermediate_size"`
		Heads        int    `json:"num_attention_heads"`
		KVHeads      int    `json:"num_key_value_heads"`
		HeadDim      int    `json:"head_dim"`
		Vocabulary   int    `json:"vocab_size"`
		MaxLength    int    `json:"max_position_embeddings"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return Model{}, fmt.Errorf("model configuration: %w", err)
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	m := Model{
		Name: c.Type, Layers: c.Layers, Hidden: c.Hidden, Intermediate: c.Intermediate, Heads: c.Heads,
		KVHeads: c.KVHeads, HeadDim: c.HeadDim, Vocabulary: c.Vocabulary, MaxLength: c.MaxLength, WeightBytes: 2,
	}
	for _, field := range []struct {
		name  string
		value int
	}{
		{"num_hidden_layers", m.Layers},
		{"hidden_size", m.Hidden},
		{"intermediate_size", m.Intermediate},
		{"num_attention_heads", m.Heads},
		{"num_key_value_heads", m.KVHeads},
		{"head_dim", m.HeadDim},
		{"vocab_size", m.Vocabulary},
		{"max_position_embeddings", m.MaxLength},
	} {
		// The upper bound keeps products of three dimensions inside an int64.
		if field.value < 1 || field.value > 1<<20 {
			return Model{}, fmt.Errorf("model configuration: %s is %d", field.name, field.value)
		}
	}
	return m, nil
}

// blockParameters counts the weights that every token passes through; the
// embedding is a look-up and the output head runs for sampled tokens only.
func (m Model) blockParameters() float64 {
	attention := m.Hidden*m.HeadDim*(m.Heads+2*m.KVHeads) + m.Heads*m.HeadDim*m.Hidden
	return float64(m.Layers) * float64(attention+3*m.Hidden*m.Intermediate)
}

func (m Model) headParameters() float64 { return float64(m.Vocabulary) * float64(m.Hidden) }

// WeightsGiB is what the weights take on all GPUs together.
func (m Model) WeightsGiB() float64 {
	return (m.blockParameters() + 2*m.headParameters()) * float64(m.WeightBytes) / gib
}

// kvBytes is what one token of context takes, on all GPUs together.
func (m Model) kvBytes() float64 { return float64(2 * m.Layers * m.KVHeads * m.HeadDim * 2) }

const gib = 1 << 30
