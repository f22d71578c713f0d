package spec

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
)

// siteFiles are site files by name, as a machine has them.
func siteFiles(files map[string]string) Sites {
	return func(name string) (string, []byte, error) {
		text, ok := files[name]
		if !ok {
			return "", nil, diag.Wrap(errors.New("no such site"), diag.Usage, "looked elsewhere")
		}
		return "/sites/" + name + ".yaml", []byte(text), nil
	}
}

const cluster = `x-where: &where gpu
partition: *where
account: common
time: 60
cpus: 16
modules: [a, b]
environment: [export A=1]
directives: {exclude: n1, mail-type: END, exclusive: }
collector: {partition: cpu}
container:
  runtime: apptainer
  image: /v.sif
  mounts: [/a, /b]
download_dir: /models
server:
  command: python3
  environment: {HF_HOME: /hf, A: site}
  secrets: [HF_TOKEN]
`

func TestWhatASpecLeavesOutHoldsFromItsSiteFile(t *testing.T) {
	s, err := ParseWith("s", []byte(minimal+`scheduler: slurm
site:
  use: c
  account: mine
  cpus: null
  time: ""
  modules: [c]
  directives: {exclude: n2, nice: 5}
  container: {mounts: []}
server: {environment: {A: mine, B: mine}}
`), siteFiles(map[string]string{"c": cluster}))
	if err != nil {
		t.Fatal(err)
	}
	want := plainSite()
	want.Partition, want.Account, want.CPUs, want.Modules, want.Environment = "gpu", "mine", 16, []string{"c"}, []string{"export A=1"}
	want.Directives = map[string]string{"exclude": "n2", "nice": "5", "mail-type": "END", "exclusive": ""}
	want.Collector.Partition, want.Container = "cpu", Container{Runtime: "apptainer", Image: "/v.sif"}
	if diff := cmp.Diff(want, s.Site); diff != "" {
		t.Errorf("site (-want +got):\n%s", diff)
	}
	server := Server{
		Command: []string{"python3"}, Environment: map[string]string{"HF_HOME": "/hf", "A": "mine", "B": "mine"}, Secrets: []string{"HF_TOKEN"},
		MultiNode: "mp", StartTimeout: "10m",
	}
	if diff := cmp.Diff(server, s.Server); diff != "" || s.DownloadDir != "/models" {
		t.Errorf("server (-want +got):\n%s, download_dir %s", diff, s.DownloadDir)
	}
	again, err := Parse("effective", s.Effective())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, again); diff != "" {
		t.Errorf("the effective spec, without the site file (-want +got):\n%s", diff)
	}
}

func TestASiteFileThatSaysNothingChangesNothing(t *testing.T) {
	want, err := Parse("s", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseWith("s", []byte(minimal+"site: {use: c}\n"), siteFiles(map[string]string{"c": "partition:\n"}))
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
}

// A machine's files are there for runs of every scheduler: what the local one cannot be told is passed over, what would make another
// run of it is refused.
func TestALocalRunPassesOverWhatASiteFileSaysToSlurm(t *testing.T) {
	s, err := ParseWith("s", []byte(minimal+"site: {use: c, container: {runtime: none}}\n"), siteFiles(map[string]string{"c": cluster}))
	if err != nil || s.Site.Collector != (Collector{}) || s.Site.Partition != "gpu" {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestAProblemStandsInTheFileThatHasIt(t *testing.T) {
	for _, c := range []struct{ name, site, add, want string }{
		{"an unknown name", "", "site: {use: other}\n", "s:6:13: site.use: no such site"},
		{"a name that leaves the folder", "", "site: {use: ../c}\n", `s:6:13: site.use: "../c" is not a name of letters, digits and _ . -`},
		{"an unknown key", "partitoin: a\n", "site: {use: c}\n", "/sites/c.yaml:1:1: partitoin: unknown key"},
		{"a key of the spec", "model: a\n", "site: {use: c}\n", "/sites/c.yaml:1:1: model: unknown key"},
		{"a file that uses another", "use: a\n", "site: {use: c}\n", "/sites/c.yaml:1:1: use: unknown key"},
		{"flags of the server", "server: {flags: [--dtype]}\n", "site: {use: c}\n", "/sites/c.yaml:1:10: server.flags: unknown key"},
		{"a value", "cpus: many\n", "site: {use: c}\n", `/sites/c.yaml:1:7: cpus: wants a whole number, got the text "many"`},
		{"a value of a group", "collector:\n  qos: a b\n", "site: {use: c}\n", `/sites/c.yaml:2:8: collector.qos: "a b" is not a name of letters, digits and _ . , + : @ -`},
		{"a group that is none", "collector: cpu\n", "site: {use: c}\n", `/sites/c.yaml:1:12: collector: wants keys and values, got the text "cpu"`},
		{"a directive", "directives: {exclude: n1, output: x}\n", "site: {use: c, directives: {nice: 1}}\n", "/sites/c.yaml:1:27: directives.output: output is vtune's: its jobs depend on it"},
		{"a key twice", "cpus: 1\ncpus: 2\n", "site: {use: c}\n", "/sites/c.yaml:2:1: cpus: stands here a second time, first in line 1"},
		{"no YAML", "partition: [\n", "site: {use: c}\n", "/sites/c.yaml:2:1: did not find expected node content"},
		{"an empty file", "# nothing\n", "site: {use: c}\n", "/sites/c.yaml:1:1: the file is empty"},
		{"one of several keys", "container: {runtime: apptainer}\n", "scheduler: slurm\nsite: {use: c}\n", "/sites/c.yaml:1:22: container.runtime: has no image to run"},
		{
			"a relative file of secrets", "server: {secrets_file: s}\n", "site: {use: c}\n",
			"/sites/c.yaml:1:24: server.secrets_file: a relative path would be looked for beside each spec",
		},
		{
			"one of each, and one that is not in force", "cpus: many\nqos: a b\n", "site: {use: c, cpus: x}\n",
			`/sites/c.yaml:2:6: qos: "a b" is not a name of letters, digits and _ . , + : @ -` + "\n" + `s:6:22: site.cpus: wants a whole number, got the text "x"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			sites := siteFiles(map[string]string{"c": c.site})
			_, err := ParseWith("s", []byte(minimal+c.add), sites)
			if got := problemsOf(t, err).Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAnUnknownSiteHasTheHintOfWhoLooked(t *testing.T) {
	_, err := ParseWith("s", []byte(minimal+"site: {use: other}\n"), siteFiles(nil))
	if hints := diag.HintsOf(err); len(hints) != 1 || hints[0] != "looked elsewhere" {
		t.Errorf("hints %q", hints)
	}
	_, err = Parse("s", []byte(minimal+"site: {use: other}\n"))
	if got := problemsOf(t, err).Error(); got != "s:6:13: site.use: there are no site files here" {
		t.Errorf("without site files: %s", got)
	}
}

func TestASiteFileIsCheckedByItself(t *testing.T) {
	if err := CheckSite("c", []byte(cluster)); err != nil {
		t.Error(err)
	}
	err := CheckSite("c", []byte("cpus: -1\nserver:\n  start_timeout: soon\nnodes: [\"1\"]\n"))
	want := "c:1:7: cpus: -1 is not 0 or more (at most 2147483647)\nc:3:18: server.start_timeout: \"soon\" is not a duration\n" +
		"c:4:8: nodes: wants a whole number, got a list"
	if got := problemsOf(t, err).Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAValueIsLocatedInTheFileThatItCameFrom(t *testing.T) {
	text := minimal + "scheduler: slurm\nsite:\n  use: c\n  account: mine\n  directives: {nice: 5}\n"
	places := Locate("s", []byte(text), siteFiles(map[string]string{"c": cluster}))
	for path, want := range map[string]string{
		"site.account": "s:9:12", "site.directives.nice": "s:10:22", "site.partition": "/sites/c.yaml:1:10", "site.directives.exclude": "/sites/c.yaml:8:23",
		"site.collector.partition": "/sites/c.yaml:9:24", "server.command": "/sites/c.yaml:16:12", "grid.max_num_seqs": "s:4:17", "site.qos": "",
	} {
		if got := places[path].String(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	broken := Locate("s", []byte(text+"tolerance: many\n"), siteFiles(nil))
	if got := broken["site.account"].String(); got != "s:9:12" {
		t.Errorf("of a spec with problems: %q", got)
	}
	if places := Locate("s", []byte("- a\n"), nil); len(places) != 0 {
		t.Errorf("of no spec: %v", places)
	}
}

func TestAPageOfASiteIsASiteFile(t *testing.T) {
	page := SitePage("A machine.", map[string]Line{"partition": {Value: "gpu", Comment: "found: "}, "container.image": {Value: "/v.sif"}})
	if err := CheckSite("page", page); err != nil {
		t.Errorf("%v\n%s", err, page)
	}
	for _, want := range []string{"# A machine.\n\npartition: gpu ", "# found: one, or several", "\n  image: /v.sif", "\n# collector: {partition: cpu}", "\n  # cache_root: "} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(string(page), "accelerator_type:") {
		t.Errorf("keys that no Slurm cluster has:\n%s", page)
	}
	if strings.Contains(string(page), "use:") || strings.Contains(string(page), "flags:") {
		t.Errorf("keys that a site file has not:\n%s", page)
	}
}
