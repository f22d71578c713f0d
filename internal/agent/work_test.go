package agent

import "testing"

func TestSecretsAreRedactedByTheNameOfTheirVariable(t *testing.T) {
	w := &work{secrets: secrets([]string{"HF_TOKEN=hf_abcdefgh", "SHORT_KEY=abc", "PATH=/usr/bin", "AWS_SECRET=swordfish1", "DB=pw"}, []string{"DB"})}
	if got := w.redact("hf_abcdefgh abc /usr/bin swordfish1"); got != "[secret] abc /usr/bin [secret]" {
		t.Error(got)
	}
}

func TestTheUnitsIDIsKnownWhateverTheScheduler(t *testing.T) {
	for want, env := range map[string][]string{
		"12": {"SLURM_JOB_ID=14", "SLURM_ARRAY_JOB_ID=12", "SLURM_ARRAY_TASK_ID=1"},
		"14": {"SLURM_JOB_ID=14"},
		"3":  {"VTUNE_LOCAL_JOB=3"},
		"":   nil,
	} {
		if got := schedulerID(env); got != want {
			t.Errorf("%v: %q", env, got)
		}
	}
}
