GO ?= go
FUZZTIME ?= 20s
LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# Smart-card readers are reached through a C library, where it is there to build with. The shell
# asks, for "make deps" may have installed it just before.
TAGS = $$(pkg-config --exists libpcsclite 2> /dev/null && echo -tags=pcsc)
SAMPLED = TestShippedProfiles|TestFaultMatrix|TestHostileKey|TestEndlessKeys|TestStubbornKeys|TestFlat|TestThousandCancels|TestNoTryWithoutPrompt|TestNoTryOnBlockedKey|TestPlugCycles|TestCrashes|TestManyCrashes|TestNoManagement
# As it compiles its own tools and most programs, so that they share what they have in common.
RELEASE = CGO_ENABLED=0 GOFLAGS='-trimpath -buildvcs=false' $(GO) -C scripts/release
PLATFORMS = linux/amd64 linux/arm64 linux/arm windows/amd64 windows/arm64 darwin/amd64 darwin/arm64 freebsd/amd64

.PHONY: build demo test deps e2e fuzz lint cross bench api release
build: # bin/fidokey
	$(GO) build $(TAGS) -o bin/ ./cmd/fidokey

demo: build # a tour with the simulator; needs no hardware
	scripts/demo bin/fidokey

# The VM takes longest, so it comes first; it and cmd/fidokey wait much, so that there is room for
# a package more than there are cores. What go test would vet is part of what go vet has done.
# Tests of thousands of trials play some of them under the race detector (ctaptest.Sample, which
# looks for their names here) and all of them without.
test: deps # all tests, those in the VM too
	$(GO) vet $(TAGS) ./...
	$(GO) test $(TAGS) -race -vet=off -timeout 50m -p $$(($$(getconf _NPROCESSORS_ONLN) + 1)) ./test/e2e ./...
	$(GO) test -vet=off -run '$(SAMPLED)' ./client ./conformance ./entra/enrol

deps: # installs what the tests need besides Go, where that is possible
	@scripts/deps

e2e: deps # only what strangers judge, in the VM and over PC/SC, with its output; RUN=PATTERN only such tests in the VM
	$(GO) test $(TAGS) -count=1 -v -timeout 50m ./test/e2e $(if $(RUN),-run TestVM -guest.run '$(RUN)')

fuzz: # every fuzz target for FUZZTIME
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

lint: # format, vet, staticcheck and other linters (.golangci.yml), go.mod
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	$(GO) run $(LINT) run $$(pkg-config --exists libpcsclite 2> /dev/null && echo --build-tags=pcsc) ./...
	$(GO) mod tidy -diff
	for m in release cross; do $(GO) -C scripts/$$m run $(LINT) run --config "$(CURDIR)/.golangci.yml" . || exit 1; done

cross: # checks the types of all packages and tests for the other systems, without C
	$(GO) -C scripts/cross run . $(PLATFORMS)

bench: deps # all benchmarks, beside other programs, in the VM too; writes docs/performance.md
	$(GO) run ./test/performance $(TAGS)

api: # what the library exports now and did not at the last tag (+), or the other way round (-)
	@last=$$(git describe --tags --abbrev=0 2> /dev/null) || { echo "there is no tag yet"; exit 0; }; \
		$(GO) test ./test/api -run TestAPI -update > /dev/null && git diff --unified=0 "$$last" -- test/api/api.txt | grep '^[-+][a-z]' || echo "nothing changed since $$last"

release: # dist/: archives, packages, SBOM, checksums; ONLY=PATTERN only such targets
	$(RELEASE) run . -o "$(CURDIR)/dist" -only '$(ONLY)'
