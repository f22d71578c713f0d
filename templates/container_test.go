package templates_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vtune/internal/need"
	"vtune/internal/spec"
	"vtune/templates"
)

// contained is a job in a container, on a node with a scratch and behind a proxy.
func contained(runtime, image string) templates.View {
	v := full()
	v.System, v.SecretNames, v.Folders = "GPU", []string{"HF_TOKEN"}, []string{"/shared/it's models", "/shared/cache"}
	v.Site.Scratch, v.Site.Proxy = "/local/scratch", "http://proxy:3128"
	v.Site.Container = spec.Container{Runtime: runtime, Image: image, Mounts: []string{"/a", "/b:ro", "/c:/d", "/e:/f:ro"}, Options: []string{"--no-home", "$(id) 'x'"}}
	return v
}

// apptainer and srun are stand-ins for tests, not the real programs: they take exactly the options that the scripts use, say that
// they are fakes and what they were told, and run the rest in an environment as the real ones would give it.
const fakeApptainer = `#!/bin/bash
[ "$1" = exec ] || { echo "fake apptainer: no command exec: $1" >&2; exit 2; }
shift
while [[ $1 == -* || $1 == '$('* ]]; do
  case $1 in
    --nv|--no-home|'$(id) '\''x'\') echo "fake apptainer: option $1"; shift ;;
    --bind) [[ $2 == /*:/* && -e ${2%%:*} ]] || { echo "fake apptainer: cannot bind $2" >&2; exit 255; }
      echo "fake apptainer: bind $2"; shift 2 ;;
    *) echo "fake apptainer: unknown option $1" >&2; exit 2 ;;
  esac
done
echo "fake apptainer: image $1"
shift
exec "$@"
`

const fakeSrun = `#!/bin/bash
image='' keep=()
while [[ $1 == -* || $1 == '$('* ]]; do
  case $1 in
    --container-image=?*) echo "fake srun: image ${1#*=}"; image=${1#*=} ;;
    --container-mounts=?*) IFS=, read -ra mounts <<<"${1#*=}"
      for m in "${mounts[@]}"; do
        [[ $m == /*:/* && -e ${m%%:*} ]] || { echo "fake srun: cannot mount $m" >&2; exit 1; }
        echo "fake srun: mount $m"
      done ;;
    --container-env=?*) IFS=, read -ra keep <<<"${1#*=}" ;;
    --ntasks=1|--export=ALL) REAL+=("$1") ;;
    --no-home|'$(id) '\''x'\') echo "fake srun: option $1" ;;
    *) echo "fake srun: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
[ "$image" ] || { echo "fake srun: no image" >&2; exit 2; }
# What the image sets goes before the node's, but for variables that are named.
for name in HF_TOKEN http_proxy no_proxy TMPDIR FROM_SITE; do
  [[ " ${keep[*]} " == *" $name "* ]] || export "$name=of the image"
done
exec ${REAL_SRUN:+"$REAL_SRUN" "${REAL[@]}"} "$@"
`

// The script, run by bash, reaches the agent through the container's runtime with every word as it was, and what it sets arrives.
func TestTheAgentRunsInTheSitesContainer(t *testing.T) {
	for _, c := range []struct{ runtime, fake, fromSite string }{{"apptainer", fakeApptainer, "here"}, {"pyxis", fakeSrun, "of the image"}} {
		t.Run(c.runtime, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "it's $HOME #1 $(id)")
			bin, scratch := filepath.Join(dir, "bin"), filepath.Join(dir, "scratch")
			v := contained(c.runtime, "/images/v.sif")
			v.RunDir, v.Agent, v.Assignment, v.Secrets = dir, filepath.Join(dir, "agent"), filepath.Join(dir, "job 1.json"), filepath.Join(dir, "secrets")
			v.Site.Scratch, v.Folders = scratch, []string{filepath.Join(dir, "models"), filepath.Join(dir, "it's cache")}
			v.Site.Container.Mounts = []string{"/tmp", "/etc:ro", "/usr:/d", "/var:/f:ro"}
			v.Site.Modules, v.Site.Environment = nil, []string{"export FROM_SITE=here"}
			name := c.runtime
			if name == "pyxis" {
				name = "srun"
			}
			write(t, filepath.Join(bin, name), c.fake)
			write(t, v.Agent, "#!/bin/bash\nprintf 'agent: %s\\n' \"$@\" \"$HF_TOKEN\" \"$FROM_SITE\" \"$TMPDIR\" \"$http_proxy\" \"$no_proxy\"\n[ -d \"$TMPDIR\" ] && exit 7\n")
			write(t, v.Secrets, "export HF_TOKEN='a b'\n")
			script, err := load(t, "").Render(templates.Slurm, v)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "script")
			write(t, path, string(script))
			cmd := exec.Command(path)
			cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "SLURM_JOB_ID=17", "HOME=/root", "no_proxy=own.example", "HOSTNAME=login"}
			out, err := cmd.CombinedOutput()
			host, _ := os.Hostname()
			fake := "fake " + name + ": "
			bind := map[string]string{"apptainer": fake + "bind ", "pyxis": fake + "mount "}[c.runtime]
			want := []string{
				"agent: agent", "agent: " + v.Assignment, "agent: a b", "agent: " + c.fromSite, "agent: " + scratch + "/17", "agent: http://proxy:3128",
				"agent: localhost,127.0.0.1,::1," + host + ",own.example",
				fake + "image /images/v.sif", fake + "option --no-home", fake + "option $(id) 'x'",
				bind + dir + ":" + dir, bind + scratch + ":" + scratch, bind + v.Folders[0] + ":" + v.Folders[0], bind + v.Folders[1] + ":" + v.Folders[1],
				bind + "/tmp:/tmp", bind + "/etc:/etc:ro", bind + "/usr:/d", bind + "/var:/f:ro",
			}
			if c.runtime == "apptainer" {
				want = append(want, fake+"option --nv")
			}
			got := strings.Split(strings.TrimSpace(string(out)), "\n")
			slices.Sort(got)
			slices.Sort(want)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 7 || !slices.Equal(got, want) {
				t.Errorf("%v, want the agent's exit code 7; got\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestGPUsAreLetIntoAContainerWhereTheServerTakesThem(t *testing.T) {
	for system, want := range map[string]bool{"GPU": true, "CPU": false, "TPU": false} {
		v := contained("apptainer", "/v.sif")
		v.System = system
		argv, err := v.Enter()
		if err != nil || slices.Contains(argv, "--nv") != want {
			t.Errorf("%s: %q, %v", system, argv, err)
		}
	}
}

func TestAFolderThatAMountCannotNameIsRefused(t *testing.T) {
	for _, dir := range []string{"/a,b", "/a:b"} {
		for _, runtime := range []string{"apptainer", "pyxis"} {
			v := contained(runtime, "/v.sif")
			v.RunDir = dir
			if _, err := load(t, "").Render(templates.Slurm, v); err == nil || !strings.Contains(err.Error(), "cannot be mounted in a container") {
				t.Errorf("%s in %s: %v", dir, runtime, err)
			}
		}
	}
}

// Without its scratch a job ends with a word in its log, and its agent does not run.
func TestAMissingScratchIsToldInTheLog(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	v := plain()
	v.RunDir, v.Agent, v.Site.Scratch = dir, filepath.Join(dir, "agent"), filepath.Join(dir, "file", "scratch")
	write(t, v.Agent, "#!/bin/bash\necho the agent ran\n")
	script, err := load(t, "").Render(templates.Slurm, v)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "script"), string(script))
	for _, c := range []struct{ job, want string }{{"SLURM_JOB_ID=17", v.Site.Scratch + "/17 can be made on "}, {"NO_JOB=1", "SLURM_JOB_ID: is not set"}} {
		cmd := exec.Command(filepath.Join(dir, "script"))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), c.job}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "the agent ran") {
			t.Errorf("%s: %v\n%s", c.job, err, out)
		}
	}
}

// The early warning goes to the batch shell alone, whose place srun has taken: a real srun, behind the stand-in that knows pyxis'
// options, passes it on to the agent, and the agent's exit code is the job's.
func TestTheWarningReachesAnAgentBehindSrun(t *testing.T) {
	for _, program := range []string{"slurmctld", "slurmd", "sbatch", "munged"} {
		need.Program(t, program, "make deps")
	}
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "tl") // short: Slurm's sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("../lab/slurm-down", "-d", dir).CombinedOutput(); err != nil {
			t.Errorf("slurm-down: %v: %s", err, out)
		}
	})
	up, err := exec.Command("../lab/slurm-up", "-d", dir, "-n", "1", "-g", "2").Output()
	config, ok := strings.CutPrefix(strings.TrimSpace(string(up)), "export ")
	if err != nil || !ok {
		t.Fatalf("slurm-up: %v: %s", err, up)
	}
	srun, err := exec.LookPath("srun")
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), config, "REAL_SRUN="+srun, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	command := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v: %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	v := plain()
	v.RunDir = filepath.Join(dir, "it's $HOME")
	v.Agent, v.Assignment, v.Log = filepath.Join(v.RunDir, "agent"), filepath.Join(v.RunDir, "a.json"), filepath.Join(v.RunDir, "log")
	v.Resources.GPUs, v.Site.GPUStyle, v.SignalLead = 2, "gres", 60
	v.Site.Container = spec.Container{Runtime: "pyxis", Image: "org/image"}
	write(t, filepath.Join(dir, "bin", "srun"), fakeSrun)
	write(t, v.Agent, "#!/bin/bash\ntrap 'echo warned of the end; exit 7' USR2\necho \"GPUs $CUDA_VISIBLE_DEVICES\"\nwhile :; do sleep 0.1; done\n")
	script, err := load(t, "").Render(templates.Slurm, v)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(v.RunDir, "script"), string(script))
	id := command("sbatch", "--parsable", "--time=2", filepath.Join(v.RunDir, "script"))
	await := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				log, _ := os.ReadFile(v.Log)
				t.Fatalf("waited a minute for %s; log:\n%s\n%s", what, log, command("scontrol", "show", "job", id))
			}
		}
	}
	said := func(words string) bool {
		log, _ := os.ReadFile(v.Log)
		return bytes.Contains(log, []byte(words))
	}
	await("the agent", func() bool { return said("GPUs 0,1") })
	command("scancel", "--batch", "--signal=USR2", id) // as --signal=B:USR2 has it sent
	await("the agent to be warned", func() bool { return said("warned of the end") })
	await("its exit code", func() bool { return strings.Contains(command("scontrol", "show", "job", id), "ExitCode=7:0") })
}
