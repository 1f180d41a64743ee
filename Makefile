GO ?= go
FUZZTIME ?= 20s
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Smart-card readers are reached through a C library, where it is there to build with. The shell
# asks, for "make deps" may have installed it just before.
TAGS = $$(pkg-config --exists libpcsclite 2> /dev/null && echo -tags=pcsc)
PLATFORMS = linux/amd64 linux/arm64 windows/amd64 windows/arm64 darwin/amd64 darwin/arm64

.PHONY: build demo test deps e2e fuzz lint cross bench
build: # bin/fidokey
	$(GO) build $(TAGS) -o bin/ ./cmd/fidokey

demo: build # a tour with the simulator; needs no hardware
	scripts/demo bin/fidokey

test: deps # all tests, those in the VM too
	$(GO) vet $(TAGS) ./...
	$(GO) test $(TAGS) -race -timeout 25m ./...

deps: # installs what the tests need besides Go, where that is possible
	@scripts/deps

e2e: deps # only what strangers judge, in the VM and over PC/SC, with its output; RUN=PATTERN only such tests in the VM
	$(GO) test $(TAGS) -count=1 -v -timeout 25m ./test/e2e $(if $(RUN),-run TestVM -guest.run '$(RUN)')

fuzz: # every fuzz target for FUZZTIME
	@grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file func; do \
		echo "$${file%/*} $${func#func }"; \
		$(GO) test $(TAGS) -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) "$${file%/*}" || exit 1; done

lint: # format, vet, staticcheck, go.mod
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	$(GO) vet $(TAGS) ./...
	$(GO) run $(STATICCHECK) $(TAGS) ./...
	$(GO) mod tidy -diff

cross: # compiles for the other systems, without C
	@for p in $(PLATFORMS); do echo "$$p"; CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./... || exit 1; done

bench: deps # all benchmarks, beside other programs, in the VM too; writes docs/performance.md
	$(GO) run ./test/performance $(TAGS)
