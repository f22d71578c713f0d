package templates_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vtune/internal/spec"
	"vtune/templates"
)

// docker is a stand-in: it takes exactly the options that the scripts use, and runs the command with nothing of the environment but
// what it was told of by name.
const docker = `#!/bin/bash
if [ "$1" = rm ]; then shift; printf '%s\n' "$@" >>"$STATE/removed"; exit; fi
[ "$1" = run ] || exit 2
shift
env=("PATH=$PATH" "STATE=$STATE")
while [[ $1 == --* ]]; do
  case $1 in
    --rm | --privileged | --net=host | --shm-size=16g | --entrypoint= | --label=*) ;;
    --volume=*) echo "$1" >>"$STATE/volumes" ;;
    --cidfile=*) [ ! -e "${1#*=}" ] || exit 3; echo 0123abcd >"${1#*=}" ;;
    --env) shift; [[ $1 != *=* ]] || exit 4; env+=("$1=${!1}") ;;
    *) echo "docker stand-in: $1?" >&2; exit 2 ;;
  esac
  shift
done
echo "$1" >"$STATE/image"
shift
exec env -i "${env[@]}" "$@"
`

// job is a machine with a run directory, and the script with which it begins its jobs.
func job(t *testing.T, v templates.View) (dir string, cmd *exec.Cmd) {
	t.Helper()
	state := t.TempDir()
	dir = filepath.Join(state, "it's $HOME")
	script, err := load(t, "").Render(templates.TPUJob, v)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "jobs/pool-1/job"), string(script))
	write(t, filepath.Join(dir, "secrets.env"), "HF_TOKEN='hf secret'\n")
	write(t, filepath.Join(dir, "bin/vtune"), "#!/bin/bash\ntrap 'echo told; exit 7' USR1\necho \"agent $* | $HF_TOKEN | $FROM_SITE | $VTUNE_CREW | $OUTSIDE\"\nwhile [ -e \"$STATE/wait\" ]; do sleep 0.02; done\n")
	write(t, filepath.Join(state, "path/docker"), docker)
	cmd = exec.Command("/bin/bash", filepath.Join(dir, "jobs/pool-1/job"), filepath.Join(dir, "bin/vtune"), filepath.Join(dir, "jobs/s8-1/assignment.json"))
	cmd.Env = []string{"PATH=" + filepath.Join(state, "path") + ":" + os.Getenv("PATH"), "STATE=" + state, "VTUNE_CREW=pool-1", "OUTSIDE=outside"}
	return dir, cmd
}

func TestAJobOnAMachineRunsItsAgent(t *testing.T) {
	bare, contained := onV5e(), inDocker()
	for _, v := range []*templates.View{&bare, &contained} {
		v.Site.Environment = []string{"export FROM_SITE='it is'"}
		v.Secrets, v.SecretNames = "secrets.env", []string{"HF_TOKEN"}
	}
	models := filepath.Join(t.TempDir(), "models")
	contained.Folders = []string{models}
	contained.Site.Container.Options = []string{"--label=$(id) 'x'"}
	for name, v := range map[string]templates.View{"on the machine": bare, "in a container": contained} {
		t.Run(name, func(t *testing.T) {
			dir, cmd := job(t, v)
			state := filepath.Dir(dir)
			write(t, filepath.Join(dir, "container"), "left-behind")
			out, err := cmd.CombinedOutput()
			outside := "outside"
			if v.Contained() {
				outside = ""
			}
			want := fmt.Sprintf("agent agent %s/jobs/s8-1/assignment.json | hf secret | it is | pool-1 | %s\n", dir, outside)
			if err != nil || string(out) != want {
				t.Errorf("%v: got\n%swant\n%s", err, out, want)
			}
			if !v.Contained() {
				return
			}
			read := func(name string) string {
				data, _ := os.ReadFile(filepath.Join(state, name))
				return string(data)
			}
			if got := read("removed"); got != "--force\nleft-behind\n" {
				t.Errorf("removed: %q", got)
			}
			if want := "--volume=" + models + ":" + models + "\n--volume=/mnt/models:/mnt/models:ro\n--volume=" + dir + ":" + dir + "\n"; read("volumes") != want || read("image") != v.Site.Container.Image+"\n" {
				t.Errorf("volumes %q, image %q", read("volumes"), read("image"))
			}
			if _, err := os.Stat(models); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a crew tells its jobs goes to the process that it began, whose place the agent, or the container's client, has taken.
func TestASignalReachesTheAgentOfAMachinesJob(t *testing.T) {
	for _, v := range []templates.View{onV5e(), inDocker()} {
		v.Site.Environment, v.Folders, v.Secrets = nil, nil, ""
		dir, cmd := job(t, v)
		write(t, filepath.Join(filepath.Dir(dir), "wait"), "")
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		said := func(words string) bool {
			data, _ := os.ReadFile(out.Name())
			return strings.Contains(string(data), words)
		}
		if !eventually(func() bool { return said("agent agent") }) {
			t.Fatal("the agent does not begin")
		}
		if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 7 || !said("told") {
			t.Errorf("%s: exit code %d", v.Site.Container.Runtime, code)
		}
	}
}

func TestDockerIsForMachinesOfCloudTPU(t *testing.T) {
	v := full()
	v.Site.Container = spec.Container{Runtime: "docker", Image: "x"}
	if script, err := load(t, "").Render(templates.Slurm, v); err == nil {
		t.Errorf("got\n%s", script)
	}
	v = onV5e()
	v.Site.Container = spec.Container{Runtime: "apptainer", Image: "x"}
	if script, err := load(t, "").Render(templates.TPUJob, v); err == nil {
		t.Errorf("got\n%s", script)
	}
}
