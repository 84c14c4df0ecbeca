# Overreach. The two commands to know: make demo, make test.

GO       := go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
LINT     := .tools/golangci-lint
SCALE    ?= 0.005

.PHONY: help demo quickstart-own test quick lint cross build engine alertmanager promtool kafka test-containers security deploy release docs bench bench-detect load torture clients notebook mutate fuzz clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: build engine ## See it find the story's partners, in about a minute; SERVE=1 keeps ClickHouse up
	@bin/overreach demo --dir demo-data --scale $(SCALE) $(if $(SERVE),--serve)

quickstart-own: ## Start it with a Kafka, ClickHouse, Alertmanager and Grafana of its own, in Docker
	@scripts/compose/init.sh
	OVERREACH_VERSION=$(VERSION) docker compose up --build --wait

build: ## Build bin/overreach and bin/overreach-engine
	@scripts/needs.sh
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/overreach ./cmd/overreach
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/overreach-engine ./cmd/overreach-engine

engine: ## Fetch the ClickHouse engine's library, once
	@scripts/needs.sh
	@scripts/fetch-engine.sh

alertmanager: ## Build the Alertmanager that tests run against, once
	@scripts/build-alertmanager.sh

promtool: ## Build the promtool that evaluates the alert rules in tests, once
	@scripts/build-promtool.sh

kafka: ## Fetch the Apache Kafka that tests run against, once; needs Java 17 and Maven
	@scripts/fetch-kafka.sh

test: build engine alertmanager promtool ## Run every test, with the race detector where there is a C compiler
	@scripts/test.sh

quick: ## Run the tests that need neither the engine nor Kafka: the inner loop, 90 s for all, less after a small change
	@scripts/quick.sh

test-containers: build engine ## Run the tests on an Apache Kafka in containers; makes images where none can be pulled
	@scripts/test-containers.sh

torture: engine kafka ## Kill it KILLS times (default 200) on a real Kafka, PROCS processes, in the order that SEED makes
	@scripts/torture.sh

lint: $(LINT) ## Check style, imports and mistakes
	$(LINT) run ./...

$(LINT): scripts/tools/go.mod scripts/tools/go.sum
	@mkdir -p .tools
	$(GO) -C scripts/tools build -o ../../$(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

cross: ## Check that it builds, its tests too, where CI does not run: macOS and Linux on arm64
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) vet ./cmd/overreach-engine

security: ## Search for known vulnerabilities, and for secrets in files and history
	@scripts/security.sh

deploy: ## Check what deploy/ holds: systemd unit, Kubernetes manifests, Prometheus rules
	@scripts/deploy.sh

release: ## Build dist/: static binaries for linux and darwin, their checksums; twice, to compare
	@scripts/release.sh

docs: build engine ## Write docs/config.md and docs/tables.md anew from the code
	$(GO) run ./scripts/configdoc
	$(GO) run ./scripts/tablesdoc

bench: engine ## Run the benchmarks; ratios count, absolute times vary
	$(GO) test -run '^$$' -bench . -benchmem ./decode ./detectors ./detectors/baseline ./detectors/window ./consumer ./cmd/overreach

bench-detect: ## Measure the detectors on simulated partners and write that section of docs/accuracy.md; SEEDS=1-20 to tune, printed alone
	@scripts/bench-detect.sh

load: engine kafka ## Measure memory, load and takeover on a real Kafka: TIME (default 10m), TIMES (34) the hostile events of make test
	@scripts/load.sh

clients: build engine ## Run the same statements with the clients that people use; needs Python 3.11, Java 17 and Maven
	@scripts/clients/run.sh

notebook: build engine ## Run the notebook on a small demo; needs Python 3.11 and 570 MB in .tools
	@scripts/notebook.sh

mutate: ## Make N small mistakes (default 300), drawn by SEED, and count how many the tests notice; an hour, no engine, no Java
	@$(GO) run ./scripts/mutate -seed $(or $(SEED),1) -n $(or $(N),300)

fuzz: ## Fuzz each parser for FUZZTIME (default 30s)
	@scripts/fuzz.sh

clean: ## Remove what was built; keeps the fetched library
	rm -rf bin dist .tools demo-data
