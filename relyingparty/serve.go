package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// ErrNotLoopback is wrapped by the error of an address that others can reach.
var ErrNotLoopback = errors.New("the address is not loopback: browsers use WebAuthn with https, or on this machine's localhost")

const (
	headerTimeout   = 10 * time.Second
	shutdownTimeout = 2 * time.Second
)

// Listen opens an address for [Serve]: HOST:PORT, loopback unless allowRemote.
func Listen(address string, allowRemote bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); !allowRemote && host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s: %w", address, ErrNotLoopback)
	}
	return net.Listen("tcp", address)
}

// Serve serves a handler until ctx ends; it then returns nil.
func Serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	defer context.AfterFunc(ctx, func() {
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(soon) != nil {
			server.Close()
		}
	})()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
