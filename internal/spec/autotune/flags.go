package autotune

import (
	"path"
	"slices"
	"strings"

	"vtune/internal/spec/script"
)

// option is one option of a command line with the words that follow it.
type option struct {
	name   string // with dashes, in full
	values []script.Word
	at     script.Word
}

// line is the command line of a server, or of the benchmark's client.
type line struct {
	call   script.Call
	before []script.Word // what the program is called by (numactl ...), and its path
	model  *script.Word  // of a server, where it stands by itself
	flags  []option
	loose  []script.Word // what may be flags, and is not known
}

// value of a flag, where it is one word that is known.
func (f option) value() (string, bool) {
	if len(f.values) != 1 || f.values[0].Unknown != "" {
		return "", false
	}
	return f.values[0].Text, true
}

// written is the flag as the script has it.
func (f option) written() string {
	words := []string{f.at.Source}
	if f.at.Unknown == "" {
		words[0] = f.at.Text
	}
	for _, v := range f.values {
		if v.Unknown != "" {
			v.Text = v.Source
		}
		words = append(words, v.Text)
	}
	return strings.Join(words, " ")
}

// told reports whether everything of the flag is known, or why it is not.
func (f option) told() (why string) {
	for _, w := range append([]script.Word{f.at}, f.values...) {
		if w.Unknown != "" {
			return w.Unknown
		}
	}
	return ""
}

// words of the flag for an argument list.
func (f option) words() []string {
	words := []string{f.at.Text}
	for _, v := range f.values {
		words = append(words, v.Text)
	}
	return words
}

// lines finds the calls of servers and of clients; those that only speak of them (pkill, echo) are none.
func lines(calls []script.Call) (servers, clients []line) {
	for _, c := range calls {
		text := func(i int) string {
			if i < 0 || i >= len(c.Words) {
				return ""
			}
			return c.Words[i].Text
		}
		for i, w := range c.Words {
			l := line{call: c, before: c.Words[:i]}
			switch base := path.Base(w.Text); {
			case slices.Contains([]string{"echo", "printf", "pkill", "pgrep", "killall", "grep", "which"}, base) && i == 0:
			case base == "vllm" && text(i+1) == "serve":
				l.before = c.Words[:i+1]
				servers = append(servers, l.read(c.Words[i+2:]))
			case w.Text == "vllm.entrypoints.openai.api_server" && text(i-1) == "-m":
				servers = append(servers, l.read(c.Words[i+1:]))
			case base == "vllm" && text(i+1) == "bench" && text(i+2) == "serve":
				clients = append(clients, l.read(c.Words[i+3:]))
			case base == "benchmark_serving.py":
				clients = append(clients, l.read(c.Words[i+1:]))
			default:
				continue
			}
			break
		}
	}
	return servers, clients
}

func (l line) read(words []script.Word) line {
	for i, w := range words {
		written := w.Text
		if w.Unknown != "" {
			written = strings.Trim(w.Source, `"'`)
		}
		switch {
		case isFlag(written):
			f := option{at: w}
			name, value, both := strings.Cut(written, "=")
			if f.name = full(name); both && w.Unknown == "" {
				v := w
				v.Text = value
				f.values = []script.Word{v}
				f.at.Text = name
			}
			l.flags = append(l.flags, f)
		case len(l.flags) > 0:
			last := &l.flags[len(l.flags)-1]
			if w.Unknown != "" && strings.HasPrefix(w.Source, "$") && (len(last.values) > 0 || last.name == "--enable-prefix-caching") {
				l.loose = append(l.loose, w)
				continue
			}
			last.values = append(last.values, w)
		case i == 0:
			l.model = &words[0]
		}
	}
	return l
}

// isFlag: a dash and a letter; -1 is a number.
func isFlag(s string) bool {
	rest := strings.TrimPrefix(strings.TrimPrefix(s, "-"), "-")
	return rest != s && rest != "" && rest[0]|0x20 >= 'a' && rest[0]|0x20 <= 'z'
}

// full is a flag in the spelling of vLLM's help: its parser takes underscores for dashes.
func full(name string) string {
	switch name {
	case "-tp":
		return "--tensor-parallel-size"
	case "-pp":
		return "--pipeline-parallel-size"
	}
	return strings.ReplaceAll(name, "_", "-")
}
