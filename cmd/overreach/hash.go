package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dchest/siphash"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/store"
)

func newHashCommand(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "hash -",
		Short: "Turn user ids into the numbers that stand for people in ClickHouse",
		Long: `Reads user ids from standard input, one a line, and prints for each the numbers
that stand for the person in access_events, a line each in the same order:
SipHash-2-4 under the hash key, as ClickHouse's sipHash64Keyed gives it, in
decimal.

Mappings change ids before they are hashed, to lower case for example. The first
number is that of the id as given. Behind it, separated by tabs, is one for each
other form under which ids of this database were ever counted; it is empty where
the form does not fit the id. Standard error says which column is which.

The key is that of the configuration, or with --local DIR that of the folder.
Ids are never taken as arguments, which end up in a shell's history.`,
		Example: `  overreach hash - < ids.txt > hashes.txt
  cut -f1 people.tsv | overreach hash --local demo-data - | paste - people.tsv`,
		Args: idsFromStdin,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, fingerprint, err := a.personKey(dir)
			if err != nil {
				return err
			}
			return a.withStore(cmd.Context(), dir, func(ctx context.Context, st *store.Store) error {
				if err := checkKey(ctx, st, fingerprint); err != nil {
					return err
				}
				f, err := readForms(ctx, st)
				if err != nil {
					return err
				}
				return a.writeHashes(key, f)
			})
		},
	}
	cmd.Flags().StringVar(&dir, "local", "", "use the key and the tables of `DIR` of overreach run --local DIR instead of the configuration's")
	return cmd
}

// writeHashes writes a line of hashes for each id on standard input.
func (a *app) writeHashes(key consumer.HashKey, f forms) error {
	columns := f.distinct()
	hash := idHash(key)
	out := bufio.NewWriter(a.stdout)
	err := a.eachID(func(id []byte) error {
		for i, c := range columns {
			if i > 0 {
				_ = out.WriteByte('\t') // the error stays in out until Flush
			}
			if h, ok := c.Hash(hash, id); ok {
				_, _ = out.WriteString(strconv.FormatUint(h, 10))
			}
		}
		return out.WriteByte('\n')
	})
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	_, err = io.WriteString(a.stderr, f.said(nil, nil))
	return err
}

// idHash returns the hash under a key, as the consumer makes it.
func idHash(key consumer.HashKey) decode.IDHash {
	return func(id []byte) uint64 { return siphash.Hash(key[0], key[1], id) }
}

// idsFromStdin accepts "-" alone. It never repeats what was given instead: that
// may be a person's id.
func idsFromStdin(cmd *cobra.Command, args []string) error {
	if len(args) == 1 && args[0] == "-" {
		return nil
	}
	return usagef("%[1]s reads user ids from standard input alone, one a line, since arguments end up in the shell's history and the list of processes: %[1]s - < FILE", cmd.CommandPath())
}

// maxIDBytes bounds one line of ids.
const maxIDBytes = 64 << 10

// eachID calls f with each line of standard input, less its end. Errors name the
// line, never the id.
func (a *app) eachID(f func(id []byte) error) error {
	if in, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		_, _ = fmt.Fprintln(a.stderr, "Waiting for user ids, one a line; Ctrl-D ends them.")
	}
	lines := bufio.NewScanner(a.stdin)
	lines.Buffer(make([]byte, 0, 4096), maxIDBytes)
	n := 0
	for lines.Scan() {
		n++
		id := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		if n == 1 {
			id = bytes.TrimPrefix(id, []byte("\ufeff")) // which some editors put in front of a text
		}
		switch {
		case len(id) == 0:
			return fmt.Errorf("line %d of standard input is empty: expected a user id on each line", n)
		case !utf8.Valid(id):
			return fmt.Errorf("line %d of standard input is not UTF-8, as all ids in events are, so nobody would be found: convert it first, as in iconv -f LATIN1 -t UTF-8", n)
		case len(bytes.TrimSpace(id)) < len(id):
			_, _ = fmt.Fprintf(a.stderr, "Line %d begins or ends with white space, which counts as part of the id.\n", n)
		}
		if err := f(id); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d of standard input is longer than %d bytes: expected a user id on each line", n+1, maxIDBytes)
	case err != nil:
		return fmt.Errorf("reading user ids: %w", err)
	case n == 0:
		return errors.New("standard input is empty: expected user ids, one a line")
	}
	return nil
}

// maxPeople is how many people a question may be about: their hashes, one for
// each form of an id, are part of a query.
const maxPeople = 200

// people reads the ids of some people, by line.
func (a *app) people() ([][]byte, error) {
	var ids [][]byte
	err := a.eachID(func(id []byte) error {
		if len(ids) == maxPeople {
			return fmt.Errorf("standard input has more than %d user ids: ask for fewer at a time", maxPeople)
		}
		ids = append(ids, bytes.Clone(id))
		return nil
	})
	return ids, err
}

// personKey returns the hash key of a folder, or of the configuration where the
// folder is empty, and its fingerprint. It never makes one.
func (a *app) personKey(dir string) (consumer.HashKey, string, error) {
	if dir == "" {
		c, _, err := a.loadConfig()
		if err != nil {
			return consumer.HashKey{}, "", err
		}
		secret, err := c.HashKey()
		if err != nil {
			return consumer.HashKey{}, "", err
		}
		return parseHashKey(string(secret))
	}
	file := filepath.Join(dir, keyFile)
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the folder
	if errors.Is(err, fs.ErrNotExist) {
		return consumer.HashKey{}, "", fmt.Errorf("%s holds no %s: expected the DIR of an earlier overreach run --local DIR", dir, keyFile)
	}
	if err != nil {
		return consumer.HashKey{}, "", fmt.Errorf("reading the hash key: %w", err)
	}
	key, fingerprint, err := parseHashKey(strings.TrimSpace(string(text)))
	if err != nil {
		return key, "", fmt.Errorf("%s: %w", file, err)
	}
	return key, fingerprint, nil
}

// checkKey refuses a key that is not the database's: under it nobody would be found.
func checkKey(ctx context.Context, st *store.Store, fingerprint string) error {
	incarnations, err := st.Incarnations(ctx)
	if err != nil {
		return err
	}
	for _, s := range incarnations {
		if s.KeyFingerprint != fingerprint {
			return fmt.Errorf("the hash key's fingerprint is %s, the people of this database are hashed under key %s: with another key nobody would be found; use that key",
				fingerprint, s.KeyFingerprint)
		}
	}
	return nil
}

// withPeople reads ids from standard input and calls do with whom to look for and
// the store.
func (a *app) withPeople(ctx context.Context, dir string, do func(ctx context.Context, st *store.Store, q asked) error) error {
	key, fingerprint, err := a.personKey(dir)
	if err != nil {
		return err
	}
	ids, err := a.people()
	if err != nil {
		return err
	}
	return a.withStore(ctx, dir, func(ctx context.Context, st *store.Store) error {
		if err := checkKey(ctx, st, fingerprint); err != nil {
			return err
		}
		f, err := readForms(ctx, st)
		if err != nil {
			return err
		}
		return do(ctx, st, f.of(idHash(key), ids))
	})
}

// writeText writes a text at once.
func writeText(w io.Writer, b *strings.Builder) error {
	_, err := io.WriteString(w, b.String())
	return err
}
