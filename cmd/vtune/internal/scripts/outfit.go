package scripts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"vtune/templates"
)

// CopyAgent puts this very program into the run: what runs on a node is what was submitted, whatever is installed by then.
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

// AgentSum is the SHA-256 of this very program, in hexadecimal digits.
func AgentSum() (string, error) { return pour(io.Discard) }

// pour writes this very program to a writer, and returns its sum.
func pour(to io.Writer) (sum string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	in, err := os.Open(self)
	if err != nil {
		return "", err
	}
	defer in.Close()
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, h), in)
	return hex.EncodeToString(h.Sum(nil)), err
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
