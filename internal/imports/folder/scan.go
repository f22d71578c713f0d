// Package folder makes a tuning of a folder that auto_tune.sh or `vllm bench serve` left: Scan reads every file of it that means something,
// Settle says, without any effect, what was measured in which cell, what was decided, and where the files contradict each other.
package folder

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"vtune/internal/diag"
	"vtune/internal/imports"
	"vtune/internal/record"
	"vtune/internal/vllm"
)

// Folder is all that its files say.
type Folder struct {
	Script  bool // there is a result.txt
	Result  imports.Result
	Logs    []Log
	Saved   []Saved
	Servers []Server
	Traces  int       // files of a profiler
	Begun   time.Time // by the folder's name, as the script gave it; zero: not said
	Oldest  time.Time // of the files' times
}

// Log is a load client's log; names are relative to the folder.
type Log struct {
	File string
	Cell [2]int // max-num-seqs, max-num-batched-tokens
	Rate record.Rate
	At   time.Time // the file's
	imports.Log
}

// Saved is one object of a file of JSON.
type Saved struct {
	File string
	imports.Saved
}

// Server is a server's log.
type Server struct {
	File        string
	Cell        [2]int        // zero: of the memory probe
	Utilization float64       // of the memory probe, by the file's name
	Failure     *vllm.Failure // why it did not come up, or did not live, in its own words; nil: it says none
	imports.Server
}

// What the script calls its files.
var (
	benchName  = regexp.MustCompile(`^bm_log_(\d+)_(\d+)_requestrate_(inf|[0-9.]+)\.txt$`)
	serverName = regexp.MustCompile(`^vllm_log_(\d+)_(\d+)\.txt$`)
	probeName  = regexp.MustCompile(`^vllm_log_gpu_memory_utilization_(0?\.\d+)\.log$`)
)

// Files beyond these sizes are not what they are named, or not worth reading whole.
const (
	mostResult = 64 << 20
	headOfLog  = 1 << 20
	tailOfLog  = 64 << 10
)

// ErrRun is a folder that is a run of this program already.
var ErrRun = errors.New("it has a run.json: it is a run already")

// Scan reads a folder whose name is name; a date without a zone is of zone. step is told after each file how many of how many are done.
// What cannot be read is a problem, and the rest is read all the same.
func Scan(ctx context.Context, f fs.FS, name string, zone *time.Location, step func(done, total int)) (Folder, diag.Problems, error) {
	out := Folder{}
	if _, err := fs.Stat(f, "run.json"); err == nil {
		return out, nil, ErrRun
	}
	out.Begun, _ = time.ParseInLocation("2006_01_02_15_04", name, zone)
	var files []string
	err := fs.WalkDir(f, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p == "profile":
			out.Traces = count(f, p)
			return fs.SkipDir
		case !d.IsDir() && of(p) != nothing:
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		return out, nil, err
	}
	var ps diag.Problems
	for i, p := range files {
		if err := ctx.Err(); err != nil {
			return out, nil, err
		}
		if err := out.read(f, p, zone, &ps); err != nil {
			ps = append(ps, diag.Problem{Pos: diag.Pos{File: p}, What: err.Error()})
		}
		step(i+1, len(files))
	}
	return out, ps, nil
}

func count(f fs.FS, root string) (n int) {
	_ = fs.WalkDir(f, root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

type kind int

const (
	nothing kind = iota
	result
	bench
	server
	saved
)

// of a file by its name. The script's own lie at the top; JSON is saved wherever its user said, and a sweep makes a folder for each
// combination.
func of(p string) kind {
	switch base := path.Base(p); {
	case p == "result.txt":
		return result
	case benchName.MatchString(p):
		return bench
	case serverName.MatchString(p), probeName.MatchString(p):
		return server
	case strings.HasSuffix(base, ".pytorch.json"): // the same run in another program's words
		return nothing
	case path.Ext(base) == ".json", path.Ext(base) == ".jsonl":
		return saved
	}
	return nothing
}

func (out *Folder) read(f fs.FS, p string, zone *time.Location, ps *diag.Problems) error {
	info, err := fs.Stat(f, p)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("is no file that can be read")
	}
	k := of(p)
	if k == server {
		return out.server(f, p, ps)
	}
	if info.Size() > mostResult {
		return errors.New("is too large for what its name says")
	}
	data, err := fs.ReadFile(f, p)
	if err != nil {
		return err
	}
	at := info.ModTime()
	switch k {
	case result:
		r, bad := imports.ParseResult(p, data)
		out.Script, out.Result = true, r
		*ps = append(*ps, bad...)
	case bench:
		m := benchName.FindStringSubmatch(p)
		cell, err := axes(m[1], m[2])
		if err != nil {
			return err
		}
		rate, err := imports.Rate(m[3])
		if err != nil {
			return err
		}
		l, bad := imports.ParseLog(p, data)
		out.Logs = append(out.Logs, Log{File: p, Cell: cell, Rate: rate, At: at, Log: l})
		*ps = append(*ps, bad...)
	case saved:
		all, bad := imports.ParseSaved(p, data, zone)
		for _, s := range all {
			byFolder(&s.Told, path.Dir(p))
			out.Saved = append(out.Saved, Saved{File: p, Saved: s})
		}
		*ps = append(*ps, bad...)
		if len(all) == 0 {
			return nil
		}
	}
	if out.Oldest.IsZero() || at.Before(out.Oldest) {
		out.Oldest = at
	}
	return nil
}

// sweepAxis is a value in the name of a sweep's folder, SERVE--max_num_seqs=64-max_num_batched_tokens=2048-BENCH--request_rate=4.
var sweepAxis = regexp.MustCompile(`max[-_]num[-_](seqs|batched[-_]tokens)=(\d{1,9})(?:-|$)`)

// byFolder finds the cell of a sweep's run in its folder's name, which is all that there is until the combination has its summary.
func byFolder(t *imports.Told, dir string) {
	for _, m := range sweepAxis.FindAllStringSubmatch(path.Base(dir), -1) {
		to := &t.MaxNumBatchedTokens
		if m[1] == "seqs" {
			to = &t.MaxNumSeqs
		}
		if n, err := strconv.Atoi(m[2]); err == nil && *to == 0 {
			*to = n
		}
	}
}

// server reads the beginning of a server's log, which may be long, and its end.
func (out *Folder) server(f fs.FS, p string, ps *diag.Problems) error {
	s := Server{File: p}
	if m := serverName.FindStringSubmatch(p); m != nil {
		cell, err := axes(m[1], m[2])
		if err != nil {
			return err
		}
		s.Cell = cell
	} else {
		util, err := strconv.ParseFloat(probeName.FindStringSubmatch(p)[1], 64)
		if err != nil {
			return err
		}
		s.Utilization = util
	}
	file, err := f.Open(p)
	if err != nil {
		return err
	}
	defer file.Close()
	head, err := io.ReadAll(io.LimitReader(file, headOfLog))
	if err != nil {
		return err
	}
	var bad diag.Problems
	s.Server, bad = imports.ParseServer(p, head)
	*ps = append(*ps, bad...)
	end, err := tail(file, head)
	if err != nil {
		return err
	}
	// Of one that was ended as the script ends them all, the log tells no symptom.
	if failure := vllm.Classify(vllm.Exit{Healthy: s.Up, Log: end}); failure.Cause != record.CauseCrash {
		s.Failure = failure
	}
	out.Servers = append(out.Servers, s)
	return nil
}

// tail is the end of a file of which head was read.
func tail(file fs.File, head []byte) ([]byte, error) {
	if seeker, ok := file.(io.Seeker); ok && len(head) == headOfLog {
		if _, err := seeker.Seek(-tailOfLog, io.SeekEnd); err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(file, tailOfLog))
	}
	return head[max(0, len(head)-tailOfLog):], nil
}

func axes(seqs, tokens string) (cell [2]int, err error) {
	for i, text := range []string{seqs, tokens} {
		if cell[i], err = strconv.Atoi(text); err == nil && (cell[i] < 1 || cell[i] > 1<<31-1) {
			err = errors.New("its name tells of no cell that can be")
		}
		if err != nil {
			return cell, err
		}
	}
	return cell, nil
}
