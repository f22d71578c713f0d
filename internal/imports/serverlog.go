package imports

import (
	"regexp"
	"strings"

	"vtune/internal/diag"
)

// Server is what a vLLM server said of itself when it started.
type Server struct {
	Told    Told
	Version string
	System  string // GPU, TPU or CPU; empty: not said
	Up      bool   // it said that its start-up was complete
}

const nonDefault = "non-default args: {"

var (
	versions = []*regexp.Regexp{
		regexp.MustCompile(`API server version ([0-9][\w.+-]*)`),
		regexp.MustCompile(`LLM engine \(v([0-9][\w.+-]*)[,)]`),
		regexp.MustCompile(`█ +version ([0-9][\w.+-]*)`), // the banner of newer ones
	}
	platform = regexp.MustCompile(`Automatically detected platform (\w+)`)
)

// ParseServer reads the beginning of a server's log.
func ParseServer(file string, head []byte) (s Server, ps diag.Problems) {
	for i, text := range lines(head) {
		for _, v := range versions {
			if m := v.FindStringSubmatch(text); m != nil && s.Version == "" {
				s.Version = m[1]
			}
		}
		if m := platform.FindStringSubmatch(text); m != nil && s.System == "" {
			s.System = map[string]string{"cuda": "GPU", "rocm": "GPU", "xpu": "GPU", "tpu": "TPU", "cpu": "CPU"}[m[1]]
		}
		s.Up = s.Up || strings.Contains(text, "Application startup complete")
		if before, args, ok := strings.Cut(text, nonDefault); ok && s.Told == (Told{}) {
			if col, err := s.Told.python(args, ":"); err != nil {
				s.Told = Told{}
				ps = append(ps, problem(file, i+1, len(before)+len(nonDefault)+col, "%v", err))
			}
		}
		if strings.Contains(text, "CPU KV cache size") && s.System == "" {
			s.System = "CPU"
		}
	}
	return s, ps
}
