package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema/registry"
	"github.com/overreach/overreach/store"
)

// registryPoll is how often the registry's file is looked at. Its content is
// compared, not its time: mounted secrets and config maps keep old times.
const registryPoll = 2 * time.Second

// watchedRegistry holds the registry in force and takes a new version over when
// the file changes or on SIGHUP. A broken version is refused, the old one stays.
type watchedRegistry struct {
	file  string
	store *store.Store
	log   zerolog.Logger
	now   atomic.Pointer[registryVersion]
	text  string // what was last read, good or not

	waiting bool // for the store to record a new version
}

type registryVersion struct {
	registry *registry.Registry
	ordinal  uint32
}

// openRegistry reads the registry and records it in the store. Without a file it
// is a registry of nobody.
func openRegistry(ctx context.Context, file string, st *store.Store, log zerolog.Logger) (*watchedRegistry, error) {
	w := &watchedRegistry{file: file, store: st, log: log}
	reg := &registry.Registry{}
	if file != "" {
		text, err := os.ReadFile(file) //nolint:gosec // the operator names it
		if err != nil {
			return nil, fmt.Errorf("reading the registry: %w", err)
		}
		w.text = string(text)
		if reg, err = registry.Parse(file, text); err != nil {
			return nil, err
		}
	}
	if err := w.take(ctx, reg); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *watchedRegistry) take(ctx context.Context, r *registry.Registry) error {
	ordinal, err := w.store.SaveRegistry(ctx, r, r.Canonical())
	if err != nil {
		return err
	}
	w.now.Store(&registryVersion{registry: r, ordinal: ordinal})
	return nil
}

// current implements judge.Registry.
func (w *watchedRegistry) current() (*registry.Registry, uint32) {
	v := w.now.Load()
	return v.registry, v.ordinal
}

// watch takes new versions over until ctx ends.
func (w *watchedRegistry) watch(ctx context.Context) error {
	if w.file == "" {
		<-ctx.Done()
		return nil
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ticker := time.NewTicker(registryPoll)
	defer ticker.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			asked = true
		case <-ticker.C:
		}
		w.reload(ctx, asked)
	}
}

// reload reads the file and takes it over where it is new and right. Whoever asked
// is answered also where nothing is new.
func (w *watchedRegistry) reload(ctx context.Context, asked bool) {
	text, err := os.ReadFile(w.file)
	if err != nil {
		if asked {
			w.log.Warn().Err(err).Msg("the registry cannot be read; the old one stays in force")
		}
		return
	}
	if string(text) == w.text && !asked {
		return
	}
	w.text = string(text)
	registry, err := registry.Parse(w.file, text)
	if err != nil {
		w.log.Warn().Err(err).Msg("the new registry is refused; the old one stays in force")
		return
	}
	if now, _ := w.current(); now.SHA256 == registry.SHA256 {
		w.log.Info().Str("file", w.file).Msg("the registry has not changed") // but for comments and order
		return
	}
	if err := w.take(ctx, registry); err != nil {
		w.text = "" // tried again with the next look
		if !w.waiting {
			w.log.Warn().Err(err).Msg("the new registry cannot be recorded; the old one stays in force until it can")
		}
		w.waiting = true
		return
	}
	w.waiting = false
	w.log.Info().Str("file", w.file).Str("sha256", registry.SHA256).Msg("a new registry is in force; every partner is judged again")
}
