package checkup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/bucket"
	"vtune/internal/bucket/buckettest"
	"vtune/internal/doctor"
	"vtune/internal/spec"
	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/gate"
)

// google is its APIs, faked, and a spec that fits them.
type google struct {
	*testing.T
	api     *tputest.Server
	gate    *gate.Gate
	storage string // the emulator behind the gate
	env     map[string]string
	text    string // of the spec
	said    bytes.Buffer
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	storage := buckettest.Start(t)
	buckettest.Make(t, storage, "tuning")
	api := tputest.New(t, tputest.Options{})
	return (&google{T: t, api: api, storage: storage, env: map[string]string{
		"HOME": t.TempDir(), "GOOGLE_APPLICATION_CREDENTIALS": api.CredentialsFile(t), "VTUNE_TPU_ENDPOINT": api.URL(),
	}, text: `model: org/name
workload: {input_len: 100, output_len: 10}
limit: {p99_e2el_ms: 500}
grid: {max_num_seqs: [4, 8], max_num_batched_tokens: [64]}
scheduler: tpu
base: gs://tuning/runs
site: {project: vtune-test, zone: us-east5-b, accelerator_type: v6e-1, runtime_version: v2-alpha-tpuv6e, container: {runtime: docker, image: "vllm/vllm-tpu:v1"}}
`}).through(storage)
}

// through puts the gate before another endpoint.
func (g *google) through(endpoint string) *google {
	g.gate = gate.New(g.T, endpoint, g.api.Tokens().Check)
	g.env["VTUNE_STORAGE_ENDPOINT"] = g.gate.URL()
	return g
}

// meddling puts a server before the emulator that may spoil requests.
func (g *google) meddling(with func(next http.Handler, w http.ResponseWriter, r *http.Request)) {
	g.through(buckettest.Proxy(g.T, g.storage, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { with(next, w, r) })
	}))
}

func (g *google) change(old, text string) {
	g.Helper()
	if !strings.Contains(g.text, old) {
		g.Fatalf("no %q in\n%s", old, g.text)
	}
	g.text = strings.Replace(g.text, old, text, 1)
}

func (g *google) look(ctx context.Context) (doctor.Facts, error) {
	g.Helper()
	s, err := spec.Parse("spec.yaml", []byte(g.text))
	if err != nil {
		g.Fatal(err)
	}
	w := tuning.World{Now: time.Now, Program: "vtune", Err: &g.said}
	for name, value := range g.env {
		w.Env = append(w.Env, name+"="+value)
	}
	f := doctor.Facts{Scheduler: "tpu", Spec: s}
	err = Look(ctx, w, &f, Request{SpecFile: "spec.yaml", Spec: s}, 20)
	return f, err
}

func (g *google) lines() string {
	g.Helper()
	f, err := g.look(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	return doctor.Text(doctor.Diagnose(f))
}

// nothingLeft looks past all that was put before the emulator.
func (g *google) nothingLeft() {
	g.Helper()
	b, err := bucket.Open(context.Background(), "tuning", buckettest.Env(g.storage))
	if err != nil {
		g.Fatal(err)
	}
	if err := b.List(context.Background(), "", "", func(o bucket.Object) error {
		g.Errorf("left: %s", o.Name)
		return nil
	}); err != nil {
		g.Error(err)
	}
}

func isList(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.EscapedPath(), "/o")
}

func isPut(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/upload/") }

func TestGoogleThatIsWellIsFoundSo(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	text := g.lines()
	if strings.Contains(text, "fail") || strings.Contains(text, "warn") {
		t.Error(text)
	}
	for _, line := range []string{
		`credentials +service account vtune@vtune-test\.iam\.gserviceaccount\.com, by /.*credentials\.json`, `api +the TPU API's v2 answers in \d+ ms`,
		`zone +us-east5-b has v6e-1 and v2-alpha-tpuv6e`, `resources +0 queued resources in us-east5-b`,
		`bucket +gs://tuning/runs: an object was created once and not twice`, `clocks +the bucket's is [+-][01]\.\d s ahead`, `cost +at the worst 4\.0 chip-hours`,
	} {
		if !regexp.MustCompile(`ok +` + line).MatchString(text) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if n := g.api.Count("POST", ""); n > 0 {
		t.Errorf("%d things were asked for", n)
	}
	if calls := g.gate.Calls(); calls["delete"] != 1 || calls["put"] != 2 {
		t.Errorf("%v", calls)
	}
	g.nothingLeft()
}

// Each fault is told as what it is, and whatever it is, the bucket is as it was.
func TestFaultsOfGoogleAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		wrong func(*testing.T, *google)
		lines []string
	}{
		{
			"no credentials", func(t *testing.T, g *google) {
				g.env["GOOGLE_APPLICATION_CREDENTIALS"] = filepath.Join(t.TempDir(), "no.json")
			},
			[]string{`fail +credentials +Google credentials: GOOGLE_APPLICATION_CREDENTIALS: .*neither the API nor the bucket was asked\n +remedy: gcloud auth application-default login`},
		},
		{"credentials that are refused", func(t *testing.T, g *google) {
			g.api.Inject(tputest.Fault{Path: "/token", Times: -1, Code: 400})
		}, []string{`fail +credentials +Google credentials: no token: .*\n +remedy: gcloud auth`}},
		{"an API that is away", func(t *testing.T, g *google) {
			if err := g.api.Down(); err != nil {
				t.Fatal(err)
			}
		}, []string{`fail +api +.*connection refused\n +remedy: see that tpu.googleapis.com can be reached`, `ok +bucket `}},
		{"an API that is overcharged", func(t *testing.T, g *google) {
			g.api.Inject(tputest.Fault{Path: "/queuedResources", Times: -1, Code: 503})
		}, []string{`fail +api +UNAVAILABLE: an injected fault\n +remedy: ask again later`, `ok +bucket `}},
		{"an API that is off", func(t *testing.T, g *google) {
			g.api.Inject(tputest.Fault{Path: "/queuedResources", Times: -1, Code: 403, Message: "Cloud TPU API has not been used"})
		}, []string{`fail +api +PERMISSION_DENIED: Cloud TPU API has not been used\n +remedy: give the account roles/tpu.admin`}},
		{
			"a project of others", func(t *testing.T, g *google) { g.change("vtune-test", "not-mine") },
			[]string{`fail +api +PERMISSION_DENIED: .*not-mine.*\n +remedy: give the account roles/tpu.admin on site.project; or see site.project`},
		},
		{
			"a zone that is not there", func(t *testing.T, g *google) { g.change("us-east5-b", "us-east5-c") },
			[]string{`fail +zone +project vtune-test has no TPUs in us-east5-c\n +remedy: write one of us-east5-b as site.zone`, `ok +bucket `},
		},
		{
			"a slice that the zone has not", func(t *testing.T, g *google) { g.change("v6e-1", "v5p-4096") },
			[]string{`fail +zone +us-east5-b has no v5p-4096\n +remedy: write one of v5p-`, `ok +api `},
		},
		{
			"a topology that the zone has", func(t *testing.T, g *google) { g.change("accelerator_type: v6e-1", "accelerator: V6E, topology: 1x1") },
			[]string{`ok +zone +us-east5-b has V6E 1x1 and v2-alpha-tpuv6e`},
		},
		{"lists that are refused", func(t *testing.T, g *google) {
			g.api.Inject(tputest.Fault{Path: "/runtimeVersions", Times: -1, Code: 403})
		}, []string{`warn +zone +what us-east5-b has is not known: PERMISSION_DENIED`, `ok +api `}},
		{
			"the other version of the API", func(t *testing.T, g *google) { g.change("zone:", "api: v2alpha1, zone:") },
			[]string{`ok +api +the TPU API's v2alpha1 answers`, `ok +zone `},
		},
		{
			"no bucket", func(t *testing.T, g *google) { g.change("gs://tuning", "gs://tunning") },
			[]string{`fail +bucket +.*there is no bucket tunning.*\n +remedy: gcloud storage buckets create gs://tunning`, `ok +api `},
		},
		{"a bucket that is away", func(t *testing.T, g *google) {
			g.gate.Inject(gate.Fault{Times: -1, Effect: gate.Unavailable})
		}, []string{`fail +bucket +.*503.*\n +remedy: ask again later`}},
		{"a bucket of others", func(t *testing.T, g *google) {
			g.meddling(func(_ http.Handler, w http.ResponseWriter, _ *http.Request) { buckettest.Fail(w, 403, "no access") })
		}, []string{`fail +bucket +list .*not allowed in bucket tuning \(403: no access\)\n +remedy: .*roles/storage.objectAdmin`}},
		{"no right to create", func(t *testing.T, g *google) {
			g.meddling(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if isPut(r) {
					buckettest.Fail(w, 403, "no storage.objects.create")
					return
				}
				next.ServeHTTP(w, r)
			})
		}, []string{`fail +bucket +write .*\.vtune-doctor-[0-9a-f]{16}.*403: no storage.objects.create\)\n +remedy: .*roles/storage.objectAdmin`}},
		{"objects that are made twice", func(t *testing.T, g *google) {
			g.meddling(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				q.Del("ifGenerationMatch")
				r.URL.RawQuery = q.Encode()
				next.ServeHTTP(w, r)
			})
		}, []string{`fail +bucket +gs://tuning/runs/\.vtune-doctor-\S+ was created twice`}},
		{"a second creation that is refused for another reason", func(t *testing.T, g *google) {
			puts := 0
			g.meddling(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if isPut(r) {
					if puts++; puts == 2 {
						buckettest.Fail(w, 403, "no more for you")
						return
					}
				}
				next.ServeHTTP(w, r)
			})
		}, []string{`fail +bucket +write .*403: no more for you\)\n +remedy: .*roles/storage.objectAdmin`}},
		// It is not there when it is deleted; but who knows what is on its way.
		{"creations that get no answer", func(t *testing.T, g *google) {
			g.meddling(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if isPut(r) {
					buckettest.HangUp(w)
					return
				}
				next.ServeHTTP(w, r)
			})
		}, []string{`fail +bucket +it is not known whether this was written .*may be left: gs://tuning/runs/\.vtune-doctor-\S+\n +remedy: ask again later.*; then: gcloud storage rm gs://`}},
		{"objects that are not listed", func(t *testing.T, g *google) {
			g.meddling(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if isList(r) {
					w.Header().Set("Content-Type", "application/json")
					fmt.Fprint(w, "{}")
					return
				}
				next.ServeHTTP(w, r)
			})
		}, []string{`fail +bucket +gs://tuning/runs/\.vtune-doctor-\S+ was created, and no list has it`}},
		{"no right to read", func(t *testing.T, g *google) {
			g.meddling(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("alt") == "media" {
					buckettest.Fail(w, 403, "no storage.objects.get")
					return
				}
				next.ServeHTTP(w, r)
			})
		}, []string{`fail +bucket +read .*not allowed in bucket tuning \(403`}},
		{
			"an answer that is lost", func(t *testing.T, g *google) { g.gate.Inject(gate.Fault{Kind: "put", Effect: gate.Lost}) },
			[]string{`ok +bucket `},
		},
		{"a clock that is wrong", func(t *testing.T, g *google) { g.gate.Skew(time.Hour) }, []string{`ok +bucket `, `warn +clocks +the bucket's is \+3(599|600)\.\d s ahead`}},
		{"no place for the copy", func(t *testing.T, g *google) {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			g.env["XDG_STATE_HOME"] = file
		}, []string{`fail +copy +.*not a directory`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGoogle(t)
			c.wrong(t, g)
			text := g.lines()
			for _, line := range c.lines {
				if !regexp.MustCompile(line).MatchString(text) {
					t.Errorf("no %s in\n%s", line, text)
				}
			}
			g.nothingLeft()
		})
	}
}

// Who may create and not delete is told what stays, and where.
func TestAnObjectThatCannotBeDeletedIsNamed(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	g.meddling(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			buckettest.Fail(w, 403, "no storage.objects.delete")
			return
		}
		next.ServeHTTP(w, r)
	})
	text := g.lines()
	if !regexp.MustCompile(`fail +bucket +delete .*403: no storage.objects.delete\); the object that tried it may be left: (\S+)\n +remedy: .*objectAdmin; then: gcloud storage rm gs://tuning/runs/.vtune-doctor-`).MatchString(text) {
		t.Error(text)
	}
}

// What failed before, whoever's it is, counts against the quota; the API tells why it did.
func TestWhatFailedBeforeIsTold(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	g.api.FailProvisioning("", "Quota limit 'TPUV6EPerProjectPerZoneForTPUAPI' has been exceeded.")
	token := g.api.Tokens().New()
	body := `{"tpu":{"nodeSpec":[{"parent":"` + g.api.Parent() + `","nodeId":"old","node":{"acceleratorType":"v6e-1","runtimeVersion":"v2-alpha-tpuv6e"}}]}}`
	r, err := http.NewRequest(http.MethodPost, g.api.URL()+"v2/"+g.api.Parent()+"/queuedResources?queuedResourceId=old", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for end := time.Now().Add(10 * time.Second); g.api.State("old") != tputest.Failed; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is %q after %s", g.api.State("old"), resp.Status)
		}
	}
	text := g.lines()
	if !regexp.MustCompile(`warn +resources +1 queued resource in us-east5-b: 1 FAILED; .*: old; old: .*TPUV6EPerProject.*\n +remedy: gcloud compute tpus queued-resources delete old --zone=us-east5-b --project=vtune-test\n`).MatchString(text) {
		t.Error(text)
	}
}

// Wherever a person interrupts it, the object goes.
func TestAnInterruptedLookLeavesNothingInTheBucket(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		at   func(r *http.Request, puts int) bool
	}{
		{"while it is created", func(r *http.Request, puts int) bool { return isPut(r) && puts == 1 }},
		{"while it is created again", func(r *http.Request, puts int) bool { return isPut(r) && puts == 2 }},
		{"while it is listed", func(r *http.Request, puts int) bool { return isList(r) && puts > 0 }},
		{"while it is deleted", func(r *http.Request, _ int) bool { return r.Method == http.MethodDelete }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGoogle(t)
			ctx, interrupt := context.WithCancel(t.Context())
			puts, met := 0, false
			g.meddling(func(next http.Handler, w http.ResponseWriter, r *http.Request) {
				if isPut(r) {
					puts++
				}
				if c.at(r, puts) {
					met = true
					interrupt()
				}
				next.ServeHTTP(w, r)
			})
			if _, err := g.look(ctx); !errors.Is(err, context.Canceled) || !met {
				t.Errorf("%v, met: %v", err, met)
			}
			g.nothingLeft()
			if g.said.Len() > 0 {
				t.Errorf("it said %s", &g.said)
			}
		})
	}
}
