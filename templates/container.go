package templates

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Contained reports whether the agent runs in a container.
func (v View) Contained() bool {
	return v.Site.Container.Runtime != "" && v.Site.Container.Runtime != "none"
}

// Enter is the command behind which the agent runs in the site's container; empty: on the node itself. It does not come between Slurm
// and the agent: apptainer and srun pass signals on, and take the agent's exit code for theirs.
func (v View) Enter() ([]string, error) {
	switch v.Site.Container.Runtime {
	case "apptainer":
		return v.apptainer()
	case "pyxis":
		return v.pyxis()
	case "docker":
		return nil, errors.New("site.container.runtime docker: that is for machines of Cloud TPU")
	}
	return nil, nil
}

// apptainer sees the node's environment, but for PATH and what the image sets.
func (v View) apptainer() ([]string, error) {
	argv := []string{"apptainer", "exec"}
	if v.System == "GPU" {
		argv = append(argv, "--nv")
	}
	mounts, err := v.mounts()
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		argv = append(argv, "--bind", m)
	}
	return append(append(argv, v.Site.Container.Options...), v.Site.Container.Image), nil
}

// pyxis is an option of srun, whose step has all that its job has as long as it asks for no number of CPUs. What the image sets goes
// before what the node's environment has, unless a variable is named.
func (v View) pyxis() ([]string, error) {
	mounts, err := v.mounts()
	if err != nil {
		return nil, err
	}
	argv := []string{"srun", "--ntasks=1", "--export=ALL"}
	argv = append(argv, "--container-image="+v.Site.Container.Image, "--container-mounts="+strings.Join(mounts, ","))
	if names := v.carried(); len(names) > 0 {
		argv = append(argv, "--container-env="+strings.Join(names, ","))
	}
	return append(argv, v.Site.Container.Options...), nil
}

// carried are the variables that this script sets and the agent needs.
func (v View) carried() []string {
	names := slices.Clone(v.SecretNames)
	if v.Site.Scratch != "" {
		names = append(names, "TMPDIR")
	}
	if v.Site.Proxy != "" {
		names = append(names, "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
	}
	return names
}

// mounts are SRC:DST or SRC:DST:ro: the run, the folders that its work is written to, and what the site asks for.
func (v View) mounts() ([]string, error) {
	var all []string
	for _, dir := range append([]string{v.RunDir, v.Site.Scratch}, v.Folders...) {
		if dir == "" {
			continue
		}
		if strings.ContainsAny(dir, ",:") {
			return nil, fmt.Errorf("%q cannot be mounted in a container: commas and colons part its mounts", dir)
		}
		all = append(all, dir+":"+dir)
	}
	for _, m := range v.Site.Container.Mounts {
		path, readOnly := strings.CutSuffix(m, ":ro")
		if !strings.Contains(path, ":") {
			path += ":" + path
		}
		if readOnly {
			path += ":ro"
		}
		all = append(all, path)
	}
	return all, nil
}
