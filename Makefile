# Everything a developer or CI runs. `make` alone prints this help.
.DEFAULT_GOAL := help
SHELL := bash
MODULES := schemas pipeline services test
T ?= 30s
COUNT ?= 10

.PHONY: help
help: ## Print this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

.PHONY: build
build: ## Build bin/trailvane
	go build -o bin/ ./services/trailvane

.PHONY: test
test: ## Run all tests
	go test -timeout 10m work

# Only what starts goroutines, and what it runs: nothing else in the pipeline may, as test/layers checks. A race shows
# in a few replays as well as in a hundred. The tests of test/e2e run another binary, and would see nothing of it, and
# TestLive runs the whole pipeline for minutes under the detector, of which each part has tests of its own here.
.PHONY: race
race: ## Run the tests of what is concurrent with the race detector
	go test -race -timeout 20m -skip '^TestLive$$' ./pipeline/jetstream ./pipeline/memory ./pipeline/runner/... $$(go list ./services/... | grep -v /simulate)
	go test -race -timeout 20m ./test/crash -skip Mistakes -rapid.checks=10

.PHONY: fuzz
fuzz: ## Run every fuzz target for T (make fuzz T=2m)
	scripts/fuzz $(T)

.PHONY: bench
bench: ## Measure every row of the promises (make bench ARGS=-delay: one of them; docs/performance.md lists them)
	go run ./test/bench $(ARGS)

.PHONY: burst
burst: ## Offer 20 times the sustained rate for T, and watch memory and streams (make burst T=10m)
	go run ./test/bench -burst $(if $(filter file,$(origin T)),10m,$(T)) $(ARGS)

.PHONY: microbench
microbench: ## Run every Go benchmark COUNT times into new.txt, for scripts/bench-compare
	go test -run='^$$' -bench=. -benchmem -count=$(COUNT) -timeout 60m work | tee new.txt

.PHONY: lint
lint: bin/golangci-lint ## Vet and lint
	go vet work
	bin/golangci-lint run $(MODULES:%=./%/...)

.PHONY: fmt
fmt: bin/golangci-lint ## Format all Go files
	bin/golangci-lint fmt

.PHONY: fmt-check
fmt-check: bin/golangci-lint ## Show what fmt would change, and fail if it would
	bin/golangci-lint fmt --diff

.PHONY: generate
generate: ## Write generated files anew
	go generate work

.PHONY: verify
verify: ## Check that generated files and go.mod files are up to date
	scripts/verify $(MODULES)

.PHONY: verify-arm64
verify-arm64: ## Check that amd64 and arm64 find the same, byte for byte (needs qemu-user-static)
	scripts/verify-arm64

.PHONY: layers
layers: ## Check that the layers of ARCHITECTURE.md hold
	go test -count=1 ./test/layers

.PHONY: e2e
e2e: ## Run the whole-system tests
	go test -count=1 -timeout 20m ./test/...

SEED ?= 1
N ?= 100

.PHONY: crash
crash: ## Real processes under N faults, with trimming off, then on (make crash SEED=7 N=1000; minutes)
	go run ./test/crash/processes -seed $(SEED) -n $(N)
	go run ./test/crash/processes -seed $(SEED) -n $(N) -trim

# Broken programs must be found, or the comparison is worth nothing.
.PHONY: crash-short
crash-short: ## Three minutes of crash, and that broken programs are found by it
	go run ./test/crash/processes -seed $(SEED) -n 20 -accounts 2 -days 3 -least 40
	go run ./test/crash/processes -seed $(SEED) -n 12 -accounts 2 -days 3 -least 40 -broken fence
	go run ./test/crash/processes -seed $(SEED) -n 10 -accounts 2 -days 3 -least 40 -broken repeats

.PHONY: crash-cluster
crash-cluster: ## The same on three servers that are killed and cut off; makes network namespaces, so it needs root
	go run ./test/crash/processes -cluster -seed $(SEED) -n $(N)

.PHONY: check
check: fmt-check lint verify layers race ## What CI runs, after the tests

.PHONY: up
up: ## Start everything in containers, with the settings in .env (docker-compose.yml), and wait until it is ready
	scripts/up

.PHONY: down
down: ## Stop the containers; nothing is lost
	$$(scripts/compose) down

.PHONY: compose-test
compose-test: ## Days of history, then live, in containers that are scaled and killed: equal to analyze? (minutes)
	go run ./test/compose

.PHONY: observe-test
observe-test: ## In containers with collector, Jaeger and Prometheus: traces, metrics, rules, panels (minutes; a quarter of an hour once)
	go run ./test/compose -observe

.PHONY: alerts-test
alerts-test: ## Test alert rules and dashboard, with the Prometheus library
	cd deploy/prometheus && GOWORK=off go test ./...

.PHONY: chart-test
chart-test: ## Render the Helm chart, and check it against Kubernetes' types and the program's flags
	cd deploy/helm && GOWORK=off go test ./...

.PHONY: new-detector
new-detector: ## Make a detector's folder (make new-detector NAME=logingeo)
	scripts/new-detector $(NAME)

.PHONY: new-format
new-format: ## Make an input format's folder (make new-format NAME=gcpaudit)
	scripts/new-format $(NAME)

bin/%: tools/go.mod tools/go.sum
	cd tools && GOWORK=off go build -o ../bin/ $$(GOWORK=off go list -f '{{.ImportPath}}' tool | grep '/$*$$')
