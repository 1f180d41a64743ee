package simulated

import (
	"errors"
	"sync"

	"github.com/fidokey/fidokey/simulator"
)

// cutStorage survives the key that uses it, and loses the power on request.
type cutStorage struct {
	simulator.Storage
	mu      sync.Mutex
	left    int
	written bool
	cut     func()
}

func newStorage() *cutStorage { return &cutStorage{Storage: simulator.NewMemory()} }

var errPower = errors.New("the power is gone")

func (c *cutStorage) arm(n int, written bool, cut func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.written, c.cut = n, written, cut
}

func (c *cutStorage) Close() error { return nil }

func (c *cutStorage) Commit(records map[string][]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left < 0 {
		return errPower
	}
	if c.left != 1 {
		c.left = max(0, c.left-1)
		return c.Storage.Commit(records)
	}
	c.left = -1
	defer c.cut()
	if c.written {
		if err := c.Storage.Commit(records); err != nil {
			return err
		}
	}
	return errPower
}
