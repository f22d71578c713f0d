package scripts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"vtune/internal/diag"
	"vtune/templates"
)

// CopyAgent puts this very program into the run: what runs on a node is what was submitted, whatever is installed by then. From a
// machine that runs no Linux it is that program's copy for nodes.
func CopyAgent(to string) (sum string, err error) {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return "", err
	}
	sum, err = pour(out)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return "", fmt.Errorf("copy the agent: %w", err)
	}
	return sum, nil
}

// AgentSum is the SHA-256 of what CopyAgent copies, in hexadecimal digits.
func AgentSum() (string, error) { return pour(io.Discard) }

// pour writes the agent to a writer, and returns its sum.
func pour(to io.Writer) (sum string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path, err := agentOf(runtime.GOOS, self)
	if err != nil {
		return "", err
	}
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, h), in)
	return hex.EncodeToString(h.Sum(nil)), err
}

// agentBeside is the agent's name in the folder of a program that no node could run. Releases for such systems have it.
const agentBeside = "vtune-agent"

// agentOf is the file that nodes are to run, of the program at self on a system.
func agentOf(system, self string) (string, error) {
	if system == "linux" {
		return self, nil
	}
	real, err := filepath.EvalSymlinks(self) // an installer may have linked the program alone into a folder of the PATH
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(real), agentBeside)
	if _, err := os.Stat(beside); err != nil {
		return "", diag.Wrap(fmt.Errorf("nodes run Linux, and this is a program for %s: %w", system, err), diag.Usage,
			"put vtune for Linux, of the same version, there")
	}
	return beside, nil
}

// CopyTemplates keeps the templates that a site has of its own; from may be empty.
func CopyTemplates(from, to string) error {
	if from == "" {
		return nil
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("copy the templates: %w", err)
	}
	return nil
}

// OwnTemplates are the templates that a run was made with: those kept in dir, if there is one.
func OwnTemplates(dir string) (*templates.Set, error) {
	if _, err := os.Stat(dir); err != nil {
		dir = ""
	}
	return templates.Load(dir)
}
