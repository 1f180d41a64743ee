package simulator

import (
	"maps"
	"sync"
)

// A Storage keeps what survives power-off: named records of bytes. The
// Authenticator reads all of them once, in [New], and is from then on the only
// one to write; it closes the Storage in Close.
type Storage interface {
	// Load returns all records.
	Load() (map[string][]byte, error)
	// Commit stores records, and deletes those whose value is nil: all of the
	// changes or, with an error, none. When it returns they are durable.
	Commit(changes map[string][]byte) error
	Close() error
}

// NewMemory returns a Storage that lasts as long as the program. It can be
// handed to another Authenticator after the first was closed.
func NewMemory() Storage { return &memory{records: map[string][]byte{}} }

type memory struct {
	mu      sync.Mutex
	records map[string][]byte
}

func (m *memory) Load() (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.records), nil
}

func (m *memory) Commit(changes map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, record := range changes {
		if record == nil {
			delete(m.records, name)
		} else {
			m.records[name] = record
		}
	}
	return nil
}

func (m *memory) Close() error { return nil }
