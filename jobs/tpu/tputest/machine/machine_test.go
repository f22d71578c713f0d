package machine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/compute/metadata"

	"vtune/jobs/tpu/tputest/machine"
)

const patience = 20 * time.Second

// eventually waits for a condition, not for a time.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func boot(t *testing.T, script string, more ...func(*machine.Config)) *machine.Machine {
	t.Helper()
	c := machine.Config{
		Dir: filepath.Join(t.TempDir(), "m"), Mark: fmt.Sprintf("%s-%d-%d", t.Name(), os.Getpid(), time.Now().UnixNano()),
		Project: "p", Zone: "us-east5-b", Node: "n", Worker: 1, Endpoints: []string{"127.0.0.1", "127.0.0.2"}, Type: "v6e-16", Slice: "0",
		Metadata: map[string]string{"startup-script": script, "mine": "x"}, ServiceAccount: "me@p.iam.gserviceaccount.com", Scopes: []string{"s1", "s2"},
		Token: func(scopes []string) (string, time.Duration) { return strings.Join(scopes, "+"), time.Minute },
	}
	for _, change := range more {
		change(&c)
	}
	m, err := machine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if all, err := m.Processes(); err != nil || len(all) > 0 {
			t.Errorf("%v outlive their machine: %v", all, err)
		}
	})
	if err := m.Boot(); err != nil {
		t.Fatal(err)
	}
	return m
}

func file(m *machine.Machine, name string) string {
	data, _ := os.ReadFile(filepath.Join(m.State(), name))
	return strings.TrimSpace(string(data))
}

func TestAScriptHasWhatAServiceOfTheSystemHas(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte("#!/bin/sh\necho mine\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", "/nowhere")
	m := boot(t, "docker >state/docker; env >state/env; echo to the log; exit 3", func(c *machine.Config) {
		c.Path, c.Env = []string{bin}, []string{"MORE=1"}
	})
	eventually(t, "the script has ended", func() bool { _, over := m.Script(); return over })
	if exit, _ := m.Script(); exit.Code != 3 {
		t.Errorf("it ended as %s", exit)
	}
	env := file(m, "env")
	if file(m, "docker") != "mine" || strings.Contains(env, "HOME=") || !strings.Contains(env, "MORE=1") || !strings.Contains(env, "GCE_METADATA_HOST="+m.Address()) || !strings.Contains(env, "VTUNE_STATE_DIR="+m.State()) {
		t.Errorf("docker is %q, the environment %s", file(m, "docker"), env)
	}
	if log, err := os.ReadFile(m.Log()); err != nil || !strings.Contains(string(log), "to the log") {
		t.Errorf("the log has %q: %v", log, err)
	}
}

// A process may leave its group and its session, lose its parent and erase its environment.
func TestNothingOutlivesThePower(t *testing.T) {
	m := boot(t, `(trap "" TERM; env -i setsid /bin/sh -c 'echo $$ >state/pid; exec sleep 300' &)
(env -i setsid sleep 300 & exit) & wait; exit`)
	eventually(t, "the orphans are alone", func() bool {
		_, over := m.Script()
		all, err := m.Processes()
		return over && file(m, "pid") != "" && err == nil && len(all) == 2
	})
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if all, err := m.Processes(); err != nil || len(all) > 0 {
		t.Errorf("%v are left: %v", all, err)
	}
	if _, err := os.Stat("/proc/" + file(m, "pid")); err == nil {
		if line, _ := os.ReadFile("/proc/" + file(m, "pid") + "/stat"); !strings.Contains(string(line), ") Z") {
			t.Errorf("process %s lives", file(m, "pid"))
		}
	}
}

// One that outlived another by a moment would report what no machine without power can.
func TestNobodySeesAnotherDieWhenThePowerGoes(t *testing.T) {
	m := boot(t, `mkfifo state/alive; sleep 300 >state/alive &
for i in {1..200}; do sleep 300 & done
(exec 3<state/alive; touch state/up; read -r <&3; : >state/seen) &
wait`)
	eventually(t, "they watch", func() bool { _, err := os.Stat(filepath.Join(m.State(), "up")); return err == nil })
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(m.State(), "seen")); err == nil {
		t.Error("the death of the first was seen")
	}
}

func TestARebootRunsTheScriptAgainOnTheSameDisk(t *testing.T) {
	m := boot(t, `echo boot >>state/boots; [[ -e $TMPDIR/kept ]] && echo kept >state/kept; touch $TMPDIR/kept; touch state/ready; sleep 300`)
	eventually(t, "it is ready", func() bool { _, err := os.Stat(filepath.Join(m.State(), "ready")); return err == nil })
	before, err := m.Processes()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Reboot(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the script has run twice", func() bool { return file(m, "boots") == "boot\nboot" })
	for _, id := range before {
		if id.Alive() {
			t.Errorf("%s outlived the reboot", id)
		}
	}
	if m.Boots() != 2 || file(m, "kept") != "" {
		t.Errorf("%d boots; /tmp was kept: %q", m.Boots(), file(m, "kept"))
	}
}

func TestShutdownIsTheMachinesOwn(t *testing.T) {
	quick := func(c *machine.Config) { c.Minute = 20 * time.Millisecond }
	for script, wantBoots := range map[string]int{
		"shutdown -h now; sleep 300":                                              1,
		"shutdown -P +3; sleep 300":                                               1,
		"shutdown +90000; shutdown -c; poweroff; sleep 300":                       1,
		"[[ -e state/again ]] && { halt; sleep 300; }; touch state/again; reboot": 2,
	} {
		m := boot(t, script, quick)
		eventually(t, "it is off after "+script, func() bool { return !m.On() && m.Boots() == wantBoots })
		if err := m.Kill(); err != nil { // waits for the end of what is under way
			t.Fatal(err)
		}
		if all, err := m.Processes(); err != nil || len(all) > 0 {
			t.Errorf("%s: %v are left: %v", script, all, err)
		}
	}
	m := boot(t, "shutdown +1; shutdown -c; touch state/done; sleep 300", func(c *machine.Config) { c.Minute = time.Hour })
	eventually(t, "it was called off", func() bool { _, err := os.Stat(filepath.Join(m.State(), "done")); return err == nil })
	if !m.On() {
		t.Error("a shutdown that was called off came")
	}
}

func TestATransientUnitOutlivesTheScriptAndNotTheMachine(t *testing.T) {
	m := boot(t, `run() { systemd-run --unit=worker --collect -p KillMode=mixed --setenv=A=b -E C=d -- /bin/bash -c 'echo $A $C >state/unit; echo logged; exec sleep 300'; }
run; while [[ ! -s state/unit ]]; do sleep 0.01; done; run || echo "$?" >state/twice`)
	eventually(t, "the script has ended", func() bool { _, over := m.Script(); return over })
	if file(m, "unit") != "b d" || file(m, "twice") != "1" {
		t.Errorf("the unit wrote %q; a second one gave %q", file(m, "unit"), file(m, "twice"))
	}
	if all, err := m.Processes(); err != nil || len(all) != 1 {
		t.Errorf("%v live: %v", all, err)
	}
	eventually(t, "the unit has logged", func() bool {
		log, _ := os.ReadFile(filepath.Join(m.Dir(), "worker.log"))
		return string(log) == "logged\n"
	})
}

func TestTheMetadataProtocol(t *testing.T) {
	m := boot(t, "")
	ask := func(path string, header ...string) (int, string, http.Header) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.Address()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(data), res.Header
	}
	const v1 = "/computeMetadata/v1/"
	flavor := []string{"Metadata-Flavor", "Google"}
	if code, _, h := ask(v1 + "instance/name"); code != 403 || h.Get("Metadata-Flavor") != "Google" {
		t.Errorf("without the header: %d %v", code, h)
	}
	if code, _, _ := ask(v1+"instance/name", "Metadata-Flavor", "Google", "X-Forwarded-For", "1.1.1.1"); code != 403 {
		t.Errorf("by a proxy: %d", code)
	}
	for path, want := range map[string]string{
		"project/project-id":                           "p",
		"instance/zone":                                "projects/123456789012/zones/us-east5-b",
		"instance/preempted":                           "FALSE",
		"instance/maintenance-event":                   "NONE",
		"instance/attributes/mine":                     "x",
		"instance/attributes/agent-worker-number":      "1",
		"instance/attributes/accelerator-type":         "v6e-16",
		"instance/attributes/worker-network-endpoints": "unknown:unknown:127.0.0.1,unknown:unknown:127.0.0.2",
		"instance/service-accounts/default/scopes":     "s1\ns2\n",
		"instance/service-accounts/":                   "default/",
	} {
		if code, got, h := ask(v1+path, flavor...); code != 200 || got != want || h.Get("ETag") == "" {
			t.Errorf("%s: %d %q, want %q", path, code, got, want)
		}
	}
	if _, env, _ := ask(v1+"instance/attributes/tpu-env", flavor...); !strings.Contains(env, "WORKER_ID: '1'\n") || !strings.Contains(env, "NODE_ID: 'n'\n") || !strings.Contains(env, "ZONE: 'us-east5-b'\n") || !strings.Contains(env, "MEGASCALE_SLICE_ID: '0'\n") {
		t.Errorf("tpu-env is %s", env)
	}
	if code, _, _ := ask(v1+"universe/universe-domain", flavor...); code != 404 {
		t.Errorf("what is not there: %d", code)
	}
	if _, token, _ := ask(v1+"instance/service-accounts/default/token", flavor...); token != `{"access_token":"s1+s2","expires_in":60,"token_type":"Bearer"}`+"\n" || m.Tokens() != 1 {
		t.Errorf("the token is %s, %d were given", token, m.Tokens())
	}
	_, _, h := ask(v1+"instance/preempted", flavor...)
	began := time.Now()
	if code, got, _ := ask(v1+"instance/preempted?wait_for_change=true&timeout_sec=1&last_etag="+h.Get("ETag"), flavor...); code != 200 || got != "FALSE" || time.Since(began) < time.Second {
		t.Errorf("a wait in vain: %d %q after %s", code, got, time.Since(began))
	}
	// Without a tag the next change is meant, so it is made until it is seen.
	told := make(chan string)
	go func() {
		_, got, _ := ask(v1+"instance/maintenance-event?wait_for_change=true", flavor...)
		told <- got
	}()
	for i := range int(patience / (5 * time.Millisecond)) {
		m.Maintain(fmt.Sprint("event ", i))
		select {
		case got := <-told:
			if !strings.HasPrefix(got, "event ") {
				t.Errorf("the change is %q", got)
			}
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Error("nobody is told of the change")
}

func TestGooglesLibraryUnderstandsTheMetadataServer(t *testing.T) {
	m := boot(t, "")
	t.Setenv("GCE_METADATA_HOST", m.Address())
	c := metadata.NewClient(nil)
	zone, err := c.ZoneWithContext(t.Context())
	if err != nil || zone != "us-east5-b" {
		t.Errorf("the zone is %q: %v", zone, err)
	}
	email, err := c.EmailWithContext(t.Context(), "")
	if err != nil || email != "me@p.iam.gserviceaccount.com" {
		t.Errorf("the account is %q: %v", email, err)
	}
	names, err := c.InstanceAttributesWithContext(t.Context())
	if err != nil || !strings.Contains(strings.Join(names, " "), "mine startup-script tpu-env") {
		t.Errorf("there are the attributes %v: %v", names, err)
	}
	var undefined metadata.NotDefinedError
	if _, err := c.GetWithContext(t.Context(), "universe/universe-domain"); !errors.As(err, &undefined) {
		t.Errorf("what is not there: %v", err)
	}
	seen := make(chan string, 2)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() {
		over <- c.SubscribeWithContext(ctx, "instance/preempted", func(_ context.Context, v string, _ bool) error { seen <- v; return nil })
	}()
	if v := <-seen; v != "FALSE" {
		t.Errorf("first %q", v)
	}
	m.Notice()
	if v := <-seen; v != "TRUE" {
		t.Errorf("then %q", v)
	}
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("the subscription ended as %v", err)
	}
}
