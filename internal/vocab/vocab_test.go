package vocab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	bpe = `{"added_tokens":[{"id":0,"content":"<s>","special":true},{"id":6,"content":"[tool]","special":false},{"id":7,"content":"<pad>","special":true}],
		"model":{"type":"BPE","vocab":{"<s>":0,"a":1,"b":2,"ab":3,"</s>":4,"<unk>":5}}}`
	unigram = `{"added_tokens":null,"model":{"type":"Unigram","vocab":[["<unk>",0.0],["a",-1.5],["b",-2],["c",-3]]}}`
)

func TestUsableIDsAreThoseOfTheTokenizerThatAreNotSpecial(t *testing.T) {
	for name, c := range map[string]struct {
		tokenizer, tokenizerConfig, config string
		want                               []int
		err                                string
	}{
		"a map":                        {tokenizer: bpe, want: []int{1, 2, 3, 4, 5, 6}},
		"a list":                       {tokenizer: unigram, want: []int{0, 1, 2, 3}},
		"no type":                      {tokenizer: `{"model":{"vocab":{"a":0,"b":9}}}`, want: []int{0, 9}},
		"special by decoder":           {tokenizer: bpe, tokenizerConfig: `{"added_tokens_decoder":{"4":{"content":"</s>","special":true},"3":{"content":"ab","special":false},"99":{"content":"x"}}}`, want: []int{1, 2, 3, 5, 6}},
		"special by name":              {tokenizer: bpe, tokenizerConfig: `{"eos_token":"</s>","unk_token":{"content":"<unk>"},"pad_token":null,"mask_token":"none such"}`, want: []int{1, 2, 3, 6}},
		"special by the model":         {tokenizer: bpe, config: `{"eos_token_id":[4,5],"image_token_index":3,"pad_token_id":null}`, want: []int{1, 2, 6}},
		"special in a part":            {tokenizer: bpe, config: `{"text_config":{"eos_token_id":4}}`, want: []int{1, 2, 3, 5, 6}},
		"a model with fewer rows":      {tokenizer: bpe, config: `{"vocab_size":4}`, want: []int{1, 2, 3}},
		"a part with fewer rows":       {tokenizer: bpe, config: `{"vocab_size":null,"text_config":{"vocab_size":3}}`, want: []int{1, 2}},
		"a model with more rows":       {tokenizer: unigram, config: `{"vocab_size":64}`, want: []int{0, 1, 2, 3}},
		"only a small size":            {config: `{"vocab_size":3}`, want: []int{0, 1, 2}},
		"only a size, and its special": {config: `{"vocab_size":4,"bos_token_id":1}`, want: []int{0, 2, 3}},
		"impossible ids":               {tokenizer: `{"model":{"vocab":{"a":-1,"b":99999999999,"c":7,"d":8}}}`, want: []int{7, 8}},

		"neither":              {config: `{}`, err: "no vocab_size"},
		"one id":               {tokenizer: `{"model":{"vocab":{"a":1}}}`, err: "1 usable token ids"},
		"no vocabulary":        {tokenizer: `{"model":{}}`, err: "neither a map nor a list"},
		"another list":         {tokenizer: `{"model":{"vocab":[1,2]}}`, err: "entry 0 is no pair"},
		"half a file":          {tokenizer: `{"model":{"vocab"`, err: "tokenizer.json: unexpected end"},
		"a vocabulary of -5":   {config: `{"vocab_size":-5}`, err: "a vocab_size of -5"},
		"a huge vocabulary":    {config: `{"vocab_size":99999999999}`, err: "a vocab_size of 99999999999"},
		"a vocabulary of \"\"": {config: `{"vocab_size":""}`, err: "config.json: vocab_size"},
	} {
		bytes := func(s string) []byte {
			if s == "" {
				return nil
			}
			return []byte(s)
		}
		got, err := parse(bytes(c.tokenizer), bytes(c.tokenizerConfig), bytes(c.config))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want %q", name, err, c.err)
		}
		if d := cmp.Diff(c.want, got); c.err == "" && d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestASizeLeavesOutTheLowIDsIfThereAreEnough(t *testing.T) {
	for n, want := range map[int][3]int{0: {}, 1000: {1000, 0, 999}, 32000: {31744, 256, 31999}} {
		ids := FromSize(n).IDs
		got := [3]int{len(ids)}
		if len(ids) > 0 {
			got[1], got[2] = ids[0], ids[len(ids)-1]
		}
		if got != want {
			t.Errorf("%d: %v (count, first, last), want %v", n, got, want)
		}
	}
}

// write makes files and their folders.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// model is a tokenizer whose ids tell one cache from another.
func model(first string) string { return `{"model":{"vocab":{"a":` + first + `,"b":90}}}` }

func TestAModelIsAFolderOrInOneOfTheCaches(t *testing.T) {
	dir := t.TempDir()
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	const repository = "models--org--m"
	write(t, map[string]string{
		in("folder", "tokenizer.json"):                                                          model("1"),
		in("download", repository, "refs", "main"):                                              "abc\n",
		in("download", repository, "snapshots", "abc", "tokenizer.json"):                        model("2"),
		in("download", repository, "snapshots", "aaa", "tokenizer.json"):                        model("80"),
		in("hub", repository, "snapshots", "any", "tokenizer.json"):                             model("3"),
		in("hf", "hub", repository, "snapshots", "any", "tokenizer.json"):                       model("4"),
		in("home", ".cache", "huggingface", "hub", repository, "snapshots", "x", "config.json"): `{"vocab_size":9}`,
		in("xdg", "huggingface", "hub", repository, "snapshots", "x", "tokenizer.json"):         model("6"),
		in("weights", repository, "snapshots", "x", "model.safetensors"):                        "",
	})
	for _, c := range []struct {
		name, model, download string
		env                   []string
		want                  int
	}{
		{"a folder", in("folder"), in("download"), nil, 1},
		{"the download directory first", "org/m", in("download"), []string{"HF_HUB_CACHE=" + in("hub")}, 2},
		{"HF_HUB_CACHE", "org/m", "", []string{"HF_HOME=" + in("hf"), "HF_HUB_CACHE=" + in("nowhere"), "HF_HUB_CACHE=" + in("hub")}, 3},
		{"HF_HOME", "org/m", in("nowhere"), []string{"HF_HOME=" + in("hf"), "HOME=" + in("home")}, 4},
		{"HF_HOME below home", "org/m", "", []string{"HF_HOME=~/hf", "HOME=" + dir}, 4},
		{"XDG_CACHE_HOME", "org/m", "", []string{"XDG_CACHE_HOME=" + in("xdg"), "HOME=" + in("home")}, 6},
		{"home", "org/m", "", []string{"HOME=" + in("home")}, 0},
		{"past a cache that has weights only", "org/m", in("weights"), []string{"HF_HUB_CACHE=" + in("hub")}, 3},
	} {
		v, err := Find(c.model, c.download, c.env)
		if err != nil || v.IDs[0] != c.want || !strings.HasPrefix(v.Source, dir) {
			t.Errorf("%s: %+v, %v; want ids from %d", c.name, v, err, c.want)
		}
	}
}

func TestWhatIsNotFoundSaysWhereItWasLookedForAndWhatHelps(t *testing.T) {
	dir := t.TempDir()
	write(t, map[string]string{filepath.Join(dir, "broken", "tokenizer.json"): "{"})
	for _, c := range []struct {
		model string
		parts []string
	}{
		{"org/m", []string{filepath.Join(dir, "models--org--m"), "workload.vocab_size", "download the tokenizer"}},
		{"/no/such/folder", []string{"/no/such/folder", "workload.vocab_size"}},
		{filepath.Join(dir, "broken"), []string{"tokenizer.json", "unexpected end", "workload.vocab_size"}},
		{dir, []string{"neither tokenizer.json nor config.json"}},
	} {
		_, err := Find(c.model, dir, nil)
		for _, part := range c.parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v lacks %q", c.model, err, part)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(bpe), []byte(`{"added_tokens_decoder":{"1":{"special":true}},"bos_token":"a"}`), []byte(`{"vocab_size":5,"eos_token_id":[1]}`))
	f.Add([]byte(unigram), []byte(`null`), []byte(`{"text_config":{"vocab_size":3}}`))
	f.Add([]byte(`{"model":{"vocab":[["a",1],[]]}}`), []byte(`{"bos_token":1}`), []byte(`{"vocab_size":16777216}`))
	f.Fuzz(func(t *testing.T, tokenizer, tokenizerConfig, config []byte) {
		ids, err := parse(tokenizer, tokenizerConfig, config)
		if err != nil {
			return
		}
		if len(ids) < 2 || ids[0] < 0 || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("ids %v", ids)
		}
	})
}
