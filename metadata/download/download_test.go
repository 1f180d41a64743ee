package download_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fidokey/fidokey/metadata/download"
)

var options = download.Options{MaxSize: 100, Timeout: 5 * time.Second, Tries: 3, Wait: time.Millisecond, UserAgent: "test"}

func TestGet(t *testing.T) {
	const text = "the file"
	refuse := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", status) }
	}
	give := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	breakOff := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "50")
		fmt.Fprint(w, text)
	}
	for _, tt := range []struct {
		name     string
		handlers []http.HandlerFunc // of each try; the last stays
		words    string             // of the error; empty: the file comes
		tries    int32
	}{
		{"given", []http.HandlerFunc{give}, "", 1},
		{"busy at first", []http.HandlerFunc{refuse(503), refuse(429), give}, "", 3},
		{"always broken", []http.HandlerFunc{refuse(500)}, "500 Internal Server Error (tried 3 times)", 3},
		{"always too many", []http.HandlerFunc{refuse(429)}, "429 Too Many Requests (tried 3 times)", 3},
		{"not there", []http.HandlerFunc{refuse(404)}, "404 Not Found", 1},
		{"refused", []http.HandlerFunc{refuse(403)}, "403", 1},
		{"not changed, though nobody asked", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }}, "304", 1},
		{"no content", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }}, "204", 1},
		{"broken off once", []http.HandlerFunc{breakOff, give}, "", 2},
		{"always broken off", []http.HandlerFunc{breakOff}, "unexpected EOF", 3},
		{"too large, and says so", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat("x", 101))
		}}, download.ErrTooLarge.Error(), 1},
		{"too large, without saying so", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			for range 101 {
				fmt.Fprint(w, "x")
				w.(http.Flusher).Flush()
			}
		}}, download.ErrTooLarge.Error(), 1},
		{"compressed", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Error("gzip is not asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, text)
			z.Close()
		}}, "", 1},
		{"too large when unpacked", []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, strings.Repeat("x", 1<<20))
			z.Close()
		}}, download.ErrTooLarge.Error(), 1},
		{"sent on", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, give}, "", 2},
		{"sent on and on", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}}, "on and on", 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tries atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := int(tries.Add(1))
				tt.handlers[min(n, len(tt.handlers))-1](w, r)
			}))
			defer server.Close()
			file, err := download.Get(t.Context(), server.URL, download.Validators{}, options)
			switch {
			case tt.words != "":
				if err == nil || !strings.Contains(err.Error(), tt.words) || !strings.Contains(err.Error(), server.URL) && tt.name != "sent on and on" {
					t.Errorf("%v", err)
				}
			case err != nil || string(file.Data) != text:
				t.Errorf("%q, %v", file, err)
			}
			if n := tries.Load(); n != tt.tries {
				t.Errorf("%d tries, want %d", n, tt.tries)
			}
		})
	}
}

// TestConditional: a file that has not changed is not sent again.
func TestConditional(t *testing.T) {
	modified := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	tag := `"1"`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tag != "" {
			w.Header().Set("ETag", tag)
		}
		http.ServeContent(w, r, "", modified, strings.NewReader("the file"))
	}))
	defer server.Close()
	get := func(known download.Validators) *download.File {
		t.Helper()
		f, err := download.Get(t.Context(), server.URL, known, options)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first := get(download.Validators{})
	if string(first.Data) != "the file" || first.ETag != `"1"` || first.LastModified == "" {
		t.Errorf("%+v", first)
	}
	if again := get(first.Validators); again.Data != nil || again.ETag != first.ETag {
		t.Errorf("%+v", again)
	}
	tag = `"2"`
	if changed := get(first.Validators); changed.Data == nil {
		t.Error("the changed file is not sent")
	}
	tag = ""
	if byDate := get(download.Validators{LastModified: first.LastModified}); byDate.Data != nil {
		t.Errorf("%+v", byDate)
	}
	modified = modified.Add(time.Hour)
	if byDate := get(download.Validators{LastModified: first.LastModified}); byDate.Data == nil {
		t.Error("the newer file is not sent")
	}
}

// TestNotToHTTP: who asked for https does not get http.
func TestNotToHTTP(t *testing.T) {
	server := httptest.NewTLSServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer server.Close()
	// The server's certificate is its own: it is refused before the redirect, once.
	start := time.Now()
	_, err := download.Get(t.Context(), server.URL, download.Validators{}, download.Options{Timeout: time.Minute, Tries: 3, Wait: time.Hour})
	if err == nil || time.Since(start) > 30*time.Second {
		t.Errorf("%v", err)
	}
	to, _ := http.NewRequest(http.MethodGet, "http://example.com/", nil)
	via, _ := http.NewRequest(http.MethodGet, "https://example.com/", nil)
	if err := download.Redirect(to, []*http.Request{via}); err == nil {
		t.Error("it follows from https to http")
	}
	if err := download.Redirect(via, []*http.Request{to}); err != nil {
		t.Error(err)
	}
}

func TestGetEnds(t *testing.T) {
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hold)
	o := options
	o.Timeout = 50 * time.Millisecond
	_, err := download.Get(t.Context(), server.URL, download.Validators{}, o)
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not here within 50ms") {
		t.Errorf("a server that says nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := download.Get(ctx, server.URL, download.Validators{}, options); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	for _, address := range []string{"http://127.0.0.1:1/", "ftp://example.com/", "http://%"} {
		if _, err := download.Get(t.Context(), address, download.Validators{}, o); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
