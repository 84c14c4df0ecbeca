package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/replay"
)

func newReplayCommand(a *app) *cobra.Command {
	var (
		to          kafkaFlags
		rate, speed float64
	)
	cmd := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Send the lines of files to a Kafka topic",
		Long: `replay sends each line of the files to a Kafka topic, as a record without a key;
empty lines are left out. Of a file that is a JSON list each element is sent as if
it were a line. Files are read one after the other, plain or packed
with gzip or zstd, which is seen from their content; - is standard input. What a
line holds is not looked at, so the topic's mapping applies to it as to any
other record.

By default lines go as fast as the cluster takes them: in batches of 512 KiB,
the partitions in turn. With --rate so many lines go a second. With --speed lines
go as their events happened, faster by that factor: the member "time" of each
says when, a line without one goes with the line before, and a step of more than
a day is not waited for.

The cluster is the one that --brokers names, or else the configuration; TLS and
authentication are the configuration's. The topic must exist. Each batch is
acknowledged by all replicas in sync; where the answer to one is lost it is sent
again, so that its lines may be there twice. Lines up to 32 MiB are read; what a
topic takes is its max.message.bytes.`,
		Example: `  overreach replay --brokers kafka-1:9092 --topic access events.ndjson.zst
  overreach replay --config config.yaml --topic access --speed 3600 events.ndjson
  zgrep royalbank events.ndjson.gz | overreach replay --brokers kafka-1:9092 --topic access --rate 500 -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s takes the files to send, and none is named (- is standard input); see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			switch {
			case to.topic == "":
				return usagef("--topic is not set: name the topic that the lines go to")
			case cmd.Flags().Changed("rate") && !(rate > 0): // written so that NaN fails
				return usagef("--rate %v: expected lines a second, more than 0; leave it out to send as fast as it goes", rate)
			case cmd.Flags().Changed("speed") && !(speed > 0):
				return usagef("--speed %v: expected a multiple of event time, more than 0, such as 60 for a minute a second", speed)
			case rate > 0 && speed > 0:
				return usagef("--rate and --speed exclude each other: give one of them")
			}
			cfg := replay.Config{Rate: rate, Speed: speed}
			cfg.Progress = progress(a.stderr, "sending", "bytes", sizeOf(files), func(c replay.Counts) int64 { return c.Read })
			return to.send(cmd.Context(), a, cfg, func(ctx context.Context, cfg replay.Config) (replay.Result, error) {
				return replay.Files(ctx, cfg, files...)
			})
		},
	}
	to.add(cmd)
	cmd.Flags().Float64Var(&rate, "rate", 0, "send `LINES` a second")
	cmd.Flags().Float64Var(&speed, "speed", 0, "send at `FACTOR` times the speed of event time: 1 as it happened, 3600 an hour a second")
	return cmd
}

// sizeOf returns how many bytes the files have, and -1 where that is not known.
func sizeOf(files []string) int64 {
	total := int64(0)
	for _, name := range files {
		info, err := os.Stat(name)
		if name == replay.Stdin || err != nil || !info.Mode().IsRegular() {
			return -1
		}
		total += info.Size()
	}
	return total
}

// kafkaFlags say which topic of which cluster lines go to.
type kafkaFlags struct {
	brokers []string
	topic   string
}

func (f *kafkaFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.brokers, "brokers", nil, "`HOST:PORT` of some of the Kafka cluster's brokers (default: kafka.brokers of the configuration)")
	cmd.Flags().StringVar(&f.topic, "topic", "", "`TOPIC` to send to; it must exist")
}

// send sends lines to the topic and logs how many it took.
func (f *kafkaFlags) send(ctx context.Context, a *app, cfg replay.Config, lines func(context.Context, replay.Config) (replay.Result, error)) error {
	client, err := a.kafkaClient(f.brokers)
	if err != nil {
		return err
	}
	defer client.close()
	cfg.Client, cfg.Topic = client.Client, f.topic
	start := time.Now()
	result, err := lines(ctx, cfg)
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	if err == nil || result.Lines > 0 {
		a.log.Info().Str("topic", f.topic).Int64("lines", result.Lines).Int64("bytes", result.Bytes).
			Int("partitions", len(result.Ends)).Stringer("took", time.Since(start).Round(time.Millisecond)).Msg("sent")
	}
	return err
}
