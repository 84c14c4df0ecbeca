package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/embedded"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

// localDatabase is the database that a folder of one machine holds.
const localDatabase = "overreach"

// localTopic is the topic of the embedded broker.
const localTopic = "access-events"

// local is what stands in for servers on one machine: a broker in this process
// and an engine on a folder.
type local struct {
	engine *embedded.Engine
	broker *embedded.Broker
	store  *store.Store
	dir    string
}

// startLocal starts the embedded parts on a folder, which is made where it is
// not there, and brings its tables up to date.
func startLocal(ctx context.Context, dir string, partitions int32, log zerolog.Logger) (_ *local, err error) {
	l := &local{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of --local: %w", err)
	}
	if l.engine, err = startLocalEngine(ctx, dir, log); err != nil {
		return nil, err
	}
	if l.broker, err = embedded.StartBroker(embedded.BrokerConfig{Topics: map[string]int32{localTopic: partitions}}); err != nil {
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	cfg := addressesOf(l.engine).config()
	if err := store.CreateDatabase(ctx, cfg); err != nil {
		return nil, err
	}
	if l.store, err = store.Open(ctx, cfg); err != nil {
		return nil, err
	}
	if err := l.store.Migrate(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// close ends what was started. What was counted stays in the folder.
func (l *local) close() error {
	var errs []error
	if l.store != nil {
		errs = append(errs, l.store.Close())
	}
	if l.broker != nil {
		l.broker.Close()
	}
	if l.engine != nil {
		errs = append(errs, os.Remove(filepath.Join(l.dir, engineFile)), l.engine.Stop())
	}
	return errors.Join(errs...)
}

// forget deletes records that are counted from the broker, which holds them in
// memory.
func (l *local) forget(log zerolog.Logger) func(consumer.Counted) {
	return func(c consumer.Counted) {
		if err := l.broker.DeleteBefore(c.Topic, c.Partition, c.To); err != nil {
			log.Debug().Err(err).Msg("deleting counted records from the embedded broker")
		}
	}
}

// keyFile holds the hash key of a folder.
const keyFile = "hash.key"

// localKey returns the hash key of a folder. Where there is none it keeps the one
// that is given, or makes one.
func localKey(dir, given string) (string, error) {
	file := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the folder
	if err == nil {
		key := strings.TrimSpace(string(text))
		if given != "" && !strings.EqualFold(given, key) {
			return "", fmt.Errorf("the configured hash key is not that of %s, under which the people in %s are hashed: they would count twice; leave hash_key_file and %s out, or name another folder",
				file, dir, envHashKey)
		}
		return key, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("reading the hash key: %w", err)
	}
	if given == "" {
		var key [16]byte
		_, _ = rand.Read(key[:]) // never fails
		given = hex.EncodeToString(key[:])
	}
	if err := os.WriteFile(file, []byte(given+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keeping the hash key: %w", err)
	}
	return given, nil
}

// incarnationEnds turns the ends of a topic's partitions into those of its incarnation.
func incarnationEnds(incarnation string, ends map[int]int64) map[schema.Partition]int64 {
	out := make(map[schema.Partition]int64, len(ends))
	for p, end := range ends {
		out[schema.Partition{Incarnation: incarnation, Partition: int32(p)}] = end //nolint:gosec // partitions are few
	}
	return out
}
