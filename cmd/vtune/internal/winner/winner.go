// Package winner answers `vtune best`: a run's winner, read from its records, in the form that was asked for.
package winner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vtune/cmd/vtune/internal/ending"
	"vtune/cmd/vtune/internal/reading"
	"vtune/cmd/vtune/internal/scripts"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/deploy"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/spec"
	"vtune/internal/spec/sites"
	"vtune/templates"
)

// Request is what `best` was asked for.
type Request struct {
	Format      string // one of Formats
	Site        string // of the serving job: name or file of a site; empty: the run's own
	Image       string // of the manifest's container; empty: that of the version which was measured
	TemplateDir string // whose templates replace those of the run
	Output      string // file that the text goes to; empty: stdout
}

// Formats of a winner.
func Formats() []string { return []string{"command", "config", "env", "sbatch", "k8s", "json"} }

// Text is the winner of the run at path in the form that r asks for. What a reader should hear beside it is said to w.
func Text(ctx context.Context, w tuning.World, path string, r Request) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	run, err := reading.Open(ctx, w, path)
	if err != nil {
		return nil, err
	}
	if run.State.Best == nil {
		return nil, none(w.Program, path, run.State)
	}
	if run.State.Phase != record.PhaseOver {
		fmt.Fprintf(w.Err, "warning: the run is not over (%s); this is the best yet\n", run.State.Phase)
	}
	if r.Site != "" {
		if run.Spec, err = elsewhere(w, run, r.Site); err != nil {
			return nil, err
		}
	}
	writer := scripts.Writer{Dir: run.Dir, Run: run.Run, Plan: run.Plan, Spec: run.Spec}
	if writer.Templates, err = r.templates(run.Dir); err != nil {
		return nil, err
	}
	found := of(&writer, run)
	switch r.Format {
	case "config":
		text, err := deploy.Config(found, cmp.Or(r.Output, "vllm.yaml"))
		return []byte(text), err
	case "env":
		text, err := deploy.Env(found)
		return []byte(text), err
	case "sbatch":
		return job(&writer, run.State, found, w.Program)
	case "k8s":
		return manifest(&writer, found, r.Image)
	case "json":
		return fsx.JSON(found)
	}
	command, err := run.ServeCommand()
	return []byte(command + "\n"), err
}

func (r Request) check() error {
	switch {
	case !slices.Contains(Formats(), r.Format):
		return diag.Wrap(fmt.Errorf("there is no format %q", r.Format), diag.Usage, "the formats are "+strings.Join(Formats(), ", "))
	case r.Site != "" && r.Format != "sbatch":
		return diag.Errorf(diag.Usage, "--site is for --format sbatch")
	case r.Image != "" && r.Format != "k8s":
		return diag.Errorf(diag.Usage, "--image is for --format k8s")
	case r.Format == "config" && r.Output != "" && !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(r.Output)):
		return diag.Wrap(fmt.Errorf("vLLM reads no config file %q", r.Output), diag.Usage, "give it a name that ends in .yaml")
	}
	return nil
}

func (r Request) templates(dir record.Dir) (*templates.Set, error) {
	if r.TemplateDir != "" {
		return templates.Load(r.TemplateDir)
	}
	return scripts.OwnTemplates(dir.Templates())
}

// none is why there is no winner, with the exit code that collect has for it.
func none(program, path string, st record.State) error {
	code := ending.Code(st)
	why, hint := "no cell has been accepted yet", fmt.Sprintf("%s status %s shows how it goes", program, path)
	switch {
	case code == diag.Infeasible:
		why, hint = "the run is over, and no cell was shown to meet its limits", "a looser limit, a shorter load or more accelerators; `"+program+" status "+path+"` has each cell's reason"
	case code == diag.NoAnswer:
		why = "the run is over without an answer: the probe or every cell failed"
	case st.Phase.Over():
		why = "the run was cancelled before a cell was accepted"
	}
	return diag.Wrap(errors.New("there is no winner: "+why), code, hint)
}

// elsewhere is the run's spec at another site: a name that site.use takes, or a file.
func elsewhere(w tuning.World, run *reading.Run, site string) (*spec.Spec, error) {
	read := sites.FoldersOf(w.Env).Read
	if strings.ContainsRune(site, filepath.Separator) || filepath.Ext(site) != "" {
		file := site
		site, read = "file", func(string) (string, []byte, error) {
			data, err := os.ReadFile(file)
			return file, data, diag.Wrap(err, diag.Usage)
		}
	}
	return spec.Elsewhere(run.Dir.Effective(), run.Effective, site, read)
}

// of is the winner as the records have it.
func of(writer *scripts.Writer, run *reading.Run) deploy.Winner {
	st, s := run.State, run.Spec
	serve, resources := writer.Winner(st)
	server := serve.Server
	flags := serve.PublicFlags()
	argv := serve.Public()
	return deploy.Winner{
		Schema: record.Schema, Run: run.Run, Phase: st.Phase, Place: cmp.Or(run.Run.Bucket, string(run.Dir)), Simulated: report.Simulated(st.ServerVersion), Version: st.ServerVersion,
		Cell: st.Best.Cell, Model: server.Model, System: server.System, Prefix: argv[:len(argv)-len(flags)-2], Argv: argv, Flags: flags,
		Environment: server.Environment, Secrets: s.Server.Secrets, DownloadDir: s.DownloadDir, Resources: resources,
		Utilization: serve.Utilization, MaxModelLen: server.MaxModelLen, Parallel: deploy.Parallel{Tensor: server.TensorParallel, Pipeline: max(1, server.PipelineParallel)},
		Workload: record.Workload{InputLen: s.Workload.InputLen, OutputLen: s.Workload.OutputLen, CacheHitPct: s.Workload.CacheHitPct, VocabSize: s.Workload.VocabSize},
		Policy:   st.Policy, Observation: st.Best.Observation, StartSeconds: longestStart(st), StartTimeout: server.StartTimeoutSeconds, Warnings: st.Warnings,
	}
}

// longestStart of a server that came up, in s.
func longestStart(st record.State) float64 {
	longest := 0.0
	works := []record.WorkState{st.Probe, st.Profile}
	for _, c := range st.Cells {
		works = append(works, c.WorkState)
	}
	for _, w := range works {
		for _, a := range w.Attempts {
			for _, start := range a.Starts {
				if start.OK {
					longest = max(longest, start.Seconds)
				}
			}
		}
	}
	return longest
}

// job is the script of a serving job.
func job(writer *scripts.Writer, st record.State, found deploy.Winner, program string) ([]byte, error) {
	if writer.Spec.Scheduler != "slurm" {
		return nil, diag.Wrap(fmt.Errorf("run %s was not on Slurm, so it says nothing of the site that is to serve", found.Run.ID), diag.Usage,
			fmt.Sprintf("name a site, or its file, with --site; `%s site init`, typed on the cluster, writes one", program))
	}
	if found.Resources.Nodes > 1 {
		if _, err := os.Stat(writer.Dir.Launch()); err != nil {
			return nil, diag.Wrap(fmt.Errorf("at this site the server takes %d nodes, and the run started none on several", found.Resources.Nodes), diag.Usage,
				"submit the run's spec there: only a measurement tells how it does over a network")
		}
	}
	return writer.ServeJob(st, found.About())
}

// manifest is a Deployment and a Service.
func manifest(writer *scripts.Writer, found deploy.Winner, image string) ([]byte, error) {
	kube, err := deploy.Manifest(found, writer.Spec, image)
	if err != nil {
		return nil, err
	}
	about := append(found.About(), "",
		"A token, or a key of the server's own, is in no manifest: make a Secret with those variables, which are optional if so marked:",
		fmt.Sprintf("  kubectl create secret generic %s --from-literal=HF_TOKEN=...", kube.Secret),
		"It says nothing about which nodes, tolerations or storage your cluster has: change templates/kubernetes.tmpl once, and pass --template-dir.")
	if strings.HasPrefix(found.Model, "/") {
		about = append(about, "The model is a folder of the machine that was measured: mount it into the container at "+found.Model)
	}
	if command := found.Prefix; len(command) != 1 || filepath.Base(command[0]) != "vllm" {
		about = append(about, "It was started as "+strings.Join(command, " ")+"; the image's own vllm takes its place here.")
	}
	return writer.Templates.Render(templates.Kubernetes, templates.View{Run: found.Run.ID, Name: kube.Name, Comments: about, Kube: kube})
}
