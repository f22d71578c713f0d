package hardware

import "testing"

func TestAJobIsGivenGPUsWhereAnySchedulersWordSaysSo(t *testing.T) {
	for env, want := range map[string]bool{
		"CUDA_VISIBLE_DEVICES=0,1": true, "ROCR_VISIBLE_DEVICES=3": true, "SLURM_JOB_GPUS=7": true,
		"CUDA_VISIBLE_DEVICES=": false, "PATH=/bin": false, "CUDA_VISIBLE_DEVICES": false,
	} {
		if got := Given([]string{"A=b", env}); got != want {
			t.Errorf("%s: %v", env, got)
		}
	}
}
