package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"github.com/overreach/overreach/replay"
	"github.com/overreach/overreach/story"
)

// generateFlags are the flags of `generate`.
type generateFlags struct {
	story    story.Config
	out      string
	registry string
	kafka    kafkaFlags
}

func newGenerateCommand(a *app) *cobra.Command {
	f := generateFlags{story: story.Default()}
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Make up the story's access events, to a file or to Kafka",
		Long: fmt.Sprintf(`generate makes up the access events that the demo replays: %d days, from %s to
%s, of some 40 ordinary partners and of the story's, which read more people's
messages than they agreed to, or what they should no longer read. The same seed,
scale and number of days give the same events, byte for byte; fewer days give
the beginning of the whole. The dates are fixed.

Events go to --out, one JSON object a line, in the order of their times; or to
--topic of the Kafka cluster that --brokers or the configuration names. With
--registry the registry that they are to be judged by is written too; its limits
are at the same scale.

At scale 1 there are some 300 million events; at 0.005, the default, 1.6 million
(450 MB).`, story.Length, story.First, story.Last),
		Example: `  overreach generate --out events.ndjson.zst --registry registry.yaml
  overreach generate --days 7 --out - | head -3
  overreach generate --scale 0.02 --seed 7 --brokers kafka-1:9092 --topic access`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error { return runGenerate(cmd.Context(), a, f) },
	}
	flags := cmd.Flags()
	flags.Float64Var(&f.story.Scale, "scale", f.story.Scale, fmt.Sprintf("share of the real traffic and limits, %v to 1; 1 is 70 million people a month", story.MinScale))
	flags.Uint64Var(&f.story.Seed, "seed", f.story.Seed, "`NUMBER` that chooses the people, the minutes and the ordinary partners")
	flags.IntVar(&f.story.Days, "days", f.story.Days, fmt.Sprintf("`NUMBER` of days from the first on, 1 to %d", story.Length))
	flags.StringVar(&f.out, "out", "", "write the events to `FILE`, packed where it ends in .gz or .zst; - is standard output")
	flags.StringVar(&f.registry, "registry", "", "write the story's registry to `FILE`")
	f.kafka.add(cmd)
	return cmd
}

func runGenerate(ctx context.Context, a *app, f generateFlags) error {
	if err := f.story.Validate(); err != nil {
		return usagef("%v", err)
	}
	switch toKafka := f.kafka.topic != ""; {
	case f.out != "" && toKafka:
		return usagef("--out %s and --topic %s: events go to one of them; leave the other out", f.out, f.kafka.topic)
	case len(f.kafka.brokers) > 0 && !toKafka:
		return usagef("--brokers without --topic: name the topic that the events go to")
	case f.out == "" && f.registry == "" && !toKafka:
		return usagef("nothing to write: give --out FILE (- is standard output), or --topic of a Kafka cluster, or --registry FILE")
	}
	if f.registry != "" {
		if err := os.WriteFile(f.registry, f.story.Registry(), 0o644); err != nil { //nolint:gosec // it holds no secret
			return fmt.Errorf("--registry: %w", err)
		}
	}
	switch {
	case f.kafka.topic != "":
		return f.kafka.send(ctx, a, replay.Config{}, func(ctx context.Context, to replay.Config) (replay.Result, error) {
			return replay.Lines(ctx, to, story.Lines(f.story))
		})
	case f.out == replay.Stdin:
		return writeStory(ctx, a.stdout, f.story)
	case f.out != "":
		return writeStoryFile(ctx, f.out, f.story)
	}
	return nil
}

// writeStoryFile writes the events to a file. A file that could not be finished
// is removed: half a story reads like a whole one.
func writeStoryFile(ctx context.Context, name string, cfg story.Config) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() {
		info, statErr := file.Stat()
		if err = errors.Join(err, file.Close()); err == nil {
			return
		}
		err = fmt.Errorf("--out: %w", err)
		if statErr == nil && info.Mode().IsRegular() { // never a device or a pipe
			err = errors.Join(err, os.Remove(name))
		}
	}()
	packed, err := packer(file, name)
	if err != nil {
		return err
	}
	return errors.Join(writeStory(ctx, packed, cfg), packed.Close())
}

// packer packs what is written to it as the ending of the name says.
func packer(w io.Writer, name string) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
	}
	return plainWriter{w}, nil
}

// plainWriter packs nothing, and leaves what it writes to open.
type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

func writeStory(ctx context.Context, w io.Writer, cfg story.Config) error {
	b := bufio.NewWriterSize(w, 1<<20)
	for line, err := range story.Lines(cfg) {
		if err != nil {
			return err
		}
		if _, err := b.Write(append(line, '\n')); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return b.Flush()
}
