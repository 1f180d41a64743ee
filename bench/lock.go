package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// OwnerVariable names, for programs that run under a lock, who holds it.
const OwnerVariable = "FIDOKEY_BENCH_OWNER"

// lockInterval is the time between two tries at a lock that another has.
const lockInterval = 200 * time.Millisecond

// A Holder is who has locked a key.
type Holder struct {
	Owner string    `json:"owner"`
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
	// Until is when the lock ends, whatever process does; zero: with the process.
	Until time.Time `json:"until,omitzero"`
}

func (h Holder) String() string {
	return fmt.Sprintf("%s (process %d on %s, for %v by now)", h.Owner, h.PID, h.Host, h.Age())
}

// Age is for how long it has been held.
func (h Holder) Age() time.Duration { return max(0, time.Since(h.Since).Round(time.Second)) }

// Stale reports whether the lock's time is up, or the process that holds it is gone.
// Of one on another machine nobody can tell from here.
func (h Holder) Stale() bool {
	if !h.Until.IsZero() {
		return time.Now().After(h.Until)
	}
	host, err := os.Hostname()
	return err == nil && host == h.Host && !alive(h.PID, h.Since)
}

// NewHolder is a process of this machine that begins to hold a lock. An empty owner
// is named by user and process.
func NewHolder(owner string, pid int) Holder {
	host, _ := os.Hostname()
	if owner == "" {
		owner = fmt.Sprintf("%s@%s:%d", userName(), host, pid)
	}
	return Holder{Owner: owner, PID: pid, Host: host, Since: time.Now().UTC().Round(0)}
}

func userName() string {
	for _, variable := range []string{"USER", "USERNAME", "LOGNAME"} {
		if name := os.Getenv(variable); name != "" {
			return name
		}
	}
	return "somebody"
}

// A Lock is a key that nobody else uses, until Unlock. Others must have the same
// folder of state.
type Lock struct {
	Holder
	// Broken is the holder of a lock that was stale, and was taken over.
	Broken *Holder

	place *Place
	ours  bool // else one that was held before, for us
}

// Lock locks the key, and waits for as long as another has it, but no longer than
// wait. A key that an own job has locked already is ours, and stays locked: one
// with the bench's owner, or whose holder started this process.
func (p *Place) Lock(ctx context.Context, wait time.Duration) (*Lock, error) {
	return p.LockFor(ctx, NewHolder(p.bench.options.Owner, os.Getpid()), wait)
}

// LockFor is Lock for another process, which holds the lock for as long as it runs.
func (p *Place) LockFor(ctx context.Context, h Holder, wait time.Duration) (*Lock, error) {
	for end := time.Now().Add(wait); ; {
		lock, err := p.tryLock(h)
		if !errors.Is(err, ErrLocked) || !time.Now().Before(end) {
			return lock, err
		}
		if err := pause(ctx, lockInterval); err != nil {
			return nil, err
		}
	}
}

func (p *Place) tryLock(h Holder) (lock *Lock, err error) {
	err = p.guarded(func(path string) error {
		held, err := readHolder(path)
		if err != nil {
			return err
		}
		lock = &Lock{Holder: h, place: p, ours: true}
		switch {
		case held == nil:
		case held.isOurs(p.bench.options.Owner):
			lock = &Lock{Holder: *held, place: p}
			return nil
		case held.Stale():
			lock.Broken = held
		default:
			lock = nil
			return fmt.Errorf("key %s: %w by %v", p.Name, ErrLocked, held)
		}
		text, err := json.Marshal(h)
		if err != nil {
			return err
		}
		return replaceFile(path, append(text, '\n'))
	})
	if err != nil {
		return nil, err
	}
	return lock, nil
}

// isOurs reports whether the lock is held for this process.
func (h *Holder) isOurs(owner string) bool {
	host, err := os.Hostname()
	return owner != "" && h.Owner == owner || err == nil && h.Host == host && h.Until.IsZero() && h.PID == os.Getppid()
}

// Unlock lets others have the key. One that was locked before stays locked.
func (l *Lock) Unlock() error {
	if !l.ours {
		return nil
	}
	l.ours = false
	return l.place.guarded(func(path string) error {
		held, err := readHolder(path)
		if err != nil || held == nil || *held != l.Holder {
			return err // somebody has broken it
		}
		return os.Remove(path)
	})
}

// Unlock takes a lock away that an own job holds, or with force anybody. It returns
// whose it was; nil is nobody's.
func (p *Place) Unlock(force bool) (was *Holder, err error) {
	err = p.guarded(func(path string) error {
		if was, err = readHolder(path); err != nil || was == nil {
			return err
		}
		if !force && !was.isOurs(p.bench.options.Owner) && !was.Stale() {
			return fmt.Errorf("key %s: %w by %v", p.Name, ErrLocked, was)
		}
		return os.Remove(path)
	})
	return was, err
}

// Holder returns who has locked the key; nil is nobody. It may be stale.
func (p *Place) Holder() (h *Holder, err error) {
	err = p.guarded(func(path string) error {
		h, err = readHolder(path)
		return err
	})
	return h, err
}

// Ours reports whether the lock is held by a job that this process belongs to.
func (p *Place) Ours(h *Holder) bool { return h.isOurs(p.bench.options.Owner) }

// guarded calls do with the path of the lock, while no other program does so.
func (p *Place) guarded(do func(path string) error) error {
	path, err := p.stateFile(".lock")
	if err != nil {
		return err
	}
	guard := flock.New(path+".guard", flock.SetPermissions(0o666))
	if err := guard.Lock(); err != nil {
		return err
	}
	return errors.Join(do(path), guard.Close())
}

// stateFile is a file of the key in the folder of state, which it makes.
func (p *Place) stateFile(end string) (string, error) {
	folder := p.bench.State
	if folder == "" {
		return "", errors.New("the bench file names no folder for its state: add state")
	}
	// A folder that all share was made for that; this one is the user's.
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(folder, p.Name+end), nil
}

// readHolder returns nil if there is none. A file that cannot be read was written by
// a program that died.
func readHolder(path string) (*Holder, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var h Holder
	if err == nil && (json.Unmarshal(text, &h) != nil || h.Owner == "") {
		err = fmt.Errorf("%s is not what a lock looks like; remove it if nobody uses the key", path)
	}
	return &h, err
}

// replaceFile writes a file as a whole.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
