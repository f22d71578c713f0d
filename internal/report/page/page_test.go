package page_test

import (
	"os"
	"testing"

	"vtune/collect"
	"vtune/collect/answers"
	"vtune/internal/record"
)

// demo is the page of the finished run that tests read from.
func demo(t testing.TB) []byte {
	t.Helper()
	dir := record.Dir("../../../testdata/runs/demo")
	scan := collect.Scanner{Dir: dir}
	snap, err := scan.Scan()
	if err != nil {
		t.Fatal(err)
	}
	html, err := answers.Page(dir, snap.Run, collect.Derive(snap), serve, "")
	if err != nil {
		t.Fatal(err)
	}
	return html
}

func serve(record.State) (string, error) {
	return "vllm serve meta-llama/Llama-3.1-8B-Instruct --max-num-seqs 16 --max-num-batched-tokens 2048 --gpu-memory-utilization 0.98 --max-model-len 4096", nil
}

func TestTmp(t *testing.T) { os.WriteFile("/tmp/demo.html", demo(t), 0o644) }
