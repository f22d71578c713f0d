package slurm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vtune/internal/shell"
	"vtune/jobs"
)

func TestTheNodesOfAScriptAreFoundAsSbatchFindsThem(t *testing.T) {
	for script, want := range map[string]string{
		"#!/bin/bash\n#SBATCH --exclude=node1\ntrue\n":                          "node1",
		"#!/bin/bash\n\n  \n# words\n#SBATCH --exclude node[1-2]\ntrue\n":       "node[1-2]",
		"#SBATCH --mem=1 -x node1 # not --exclude=node9\n":                      "node1",
		"#SBATCH -xnode1\n#SBATCH --exclude=\"node2,node3\"\n":                  "node2,node3",
		"#SBATCH --exclud='node1'\n":                                            "node1",
		"#SBATCH --exclude=node1\necho hi\n#SBATCH --exclude=node2\n":           "node1",
		"#SBATCH --exclusive\n#SBATCH --comment=\"a -x b\" --job-name=-x\n":     "",
		"##SBATCH --exclude=node1\n #SBATCH --exclude=node1\n# --exclude=node1": "",
		"#SBATCH --exclude=no\\de1\n":                                           "node1",
		"#SBATCH -x\n":                                                          "",
		"#SBATCH --exclude=\n":                                                  "",
		"":                                                                      "",
	} {
		if got := scriptExclude(script); got != want {
			t.Errorf("%q: got %q, want %q", script, got, want)
		}
	}
}

func TestADirectiveIsReadBackAsItWasMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOf(rapid.RuneFrom([]rune("ab#'\"\\ $-x=[],é"))).Draw(t, "value")
		line, err := shell.Directive("comment", value)
		if err != nil {
			t.Fatal(err)
		}
		words := directiveWords(strings.TrimPrefix(line, "#SBATCH"))
		if len(words) != 1 || words[0] != "--comment="+value {
			t.Errorf("%s: got %q", line, words)
		}
	})
}

func TestWhatIsExcludedIsAListOfNodes(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("#!/bin/bash\n#SBATCH --exclude=node9\n")
	for _, c := range []struct {
		exclude []string
		want    string
	}{
		{[]string{"node1"}, "node9,node1"},
		{[]string{"node[1-3,5]-ib", "a.b-c_d,gpu07"}, "node9,node[1-3,5]-ib,a.b-c_d,gpu07"},
		{[]string{"r[1-2]n[01-16]"}, "node9,r[1-2]n[01-16]"},
	} {
		if got, err := excluded(jobs.Request{Exclude: c.exclude, Script: script}); err != nil || got != c.want {
			t.Errorf("%q: got %q, %v", c.exclude, got, err)
		}
	}
	for _, bad := range []string{"", "/etc/passwd", "./x", "a b", "a,,b", "a,", "-a", "node[1-", "node]", "node[]", "node[a]", "a\nb", "$(id)", "a;b", "ALL()"} {
		if got, err := excluded(jobs.Request{Exclude: []string{bad}, Script: script}); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
	write("#!/bin/bash\n#SBATCH --exclude=/site/broken-nodes\n")
	if got, err := excluded(jobs.Request{Exclude: []string{"node1"}, Script: script}); !errors.Is(err, errNodeFile) {
		t.Errorf("nodes from a file: got %q, %v", got, err)
	}
	if got, err := excluded(jobs.Request{Exclude: []string{"node1"}, Script: script + "x"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no script: got %q, %v", got, err)
	}
}

func FuzzAScriptsExclude(f *testing.F) {
	f.Add("#SBATCH --exclude=node1\ntrue\n")
	f.Add("#SBATCH -x \"a b\" # c\n")
	f.Add("#SBATCH-x\"\n")
	f.Fuzz(func(t *testing.T, script string) {
		if got := scriptExclude(script); strings.Contains(got, "\n") || len(got) > len(script) {
			t.Errorf("%q: got %q", script, got)
		}
	})
}
