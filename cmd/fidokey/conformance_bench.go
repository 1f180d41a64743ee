package main

import (
	"context"
	"errors"

	"github.com/fidokey/fidokey/bench"
	"github.com/fidokey/fidokey/conformance"
)

// suiteKeyOnBench is a key on a bench: destructive cases run if the bench may wipe it.
// It is locked until close.
func (e *env) suiteKeyOnBench(ctx context.Context, name string) (_ *suiteKey, err error) {
	hil := &hilOptions{wait: e.global.timeout}
	b, err := hil.open(e)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	p, err := b.Place(name)
	if err != nil {
		return nil, err
	}
	lock, err := hil.lock(ctx, e, p)
	if err != nil {
		return nil, err
	}
	v, err := p.Judge(ctx)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	if !v.Released {
		e.note("Destructive cases are left out: %s.", v.Reason)
	}
	s := &suiteKey{
		device: *foundDevice(v.Found), key: keyOf(v.Found.Info, modelName(v.Found.Info.AAGUID), v.Found.Path),
		released: v.Released, again: " --device " + shellWord(benchPrefix+name),
	}
	s.run = func(ctx context.Context, sel conformance.Selection) error {
		run, err := p.Run(ctx, v, sel)
		e.noteBenchRun(run)
		return err
	}
	s.close = func() error { return errors.Join(lock.Unlock(), b.Close()) }
	return s, nil
}

// noteBenchRun says what the bench did besides the cases.
func (e *env) noteBenchRun(run *bench.Run) {
	if run == nil {
		return
	}
	for _, r := range run.Retries {
		e.note("%s ran again, for the transport failed: %s", r.Case, r.Fault)
	}
	if r := run.Reset; r != nil {
		e.note("The key was reset at the end: sent %d ms after power on, done after %d ms.", r.Sent, r.Done)
	}
}
