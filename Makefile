GO ?= go
FUZZTIME ?= 20s
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS = linux/amd64 linux/arm64 windows/amd64 windows/arm64 darwin/amd64 darwin/arm64

.PHONY: build demo test deps e2e fuzz lint cross bench
build: # bin/fidokey
	$(GO) build -o bin/ ./cmd/fidokey

demo: build # a tour with the simulator; needs no hardware
	scripts/demo bin/fidokey

test: deps # all tests, those in the VM too
	$(GO) vet ./...
	$(GO) test -race -timeout 20m ./...

deps: # installs what the tests need besides Go, where that is possible
	@scripts/deps

e2e: deps # only the tests in the VM, with their output; RUN=PATTERN those of them with such a name
	$(GO) test -count=1 -v -timeout 20m ./test/e2e $(if $(RUN),-guest.run '$(RUN)')

fuzz: # every fuzz target for FUZZTIME
	@grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file func; do \
		echo "$${file%/*} $${func#func }"; \
		$(GO) test -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) "$${file%/*}" || exit 1; done

lint: # format, vet, staticcheck, go.mod
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff

cross: # compiles for the other systems, without C
	@for p in $(PLATFORMS); do echo "$$p"; CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build ./... || exit 1; done

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
