package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

func newSkipCommand(a *app) *cobra.Command {
	var f triageFlags
	cmd := &cobra.Command{
		Use:   "skip TOPIC/PARTITION --reason WORDS",
		Short: "Pass records that Kafka holds and that cannot be decoded",
		Long: `Lets a partition go on that stands before records which cannot be decoded: their
CRC is wrong, their compression or structure is broken, or their format is from
before Kafka 0.11. Says which offsets that are, then notes that they are to be
passed. The instance that reads the partition does so within some seconds, up to
the next records that can be decoded.

What is passed is never counted, though it become readable later: the partition's
marker says that it is unreadable, a data_gap is found, and no zero that it may
belong to is proof. So try first to have another replica lead the partition, or to
restore the broker's disk. By itself a partition does the same after
kafka.unreadable_after.

Refused where the partition does not stand before such records. Nothing else that
stops a partition can be skipped.`,
		Example: `  overreach skip access/3 --reason "disk of kafka-2 is lost, no replica has them"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one TOPIC/PARTITION, not %d arguments; see %s --help", cmd.CommandPath(), len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			slash := strings.LastIndexByte(args[0], '/')
			partition, err := strconv.ParseInt(args[0][slash+1:], 10, 32)
			if slash <= 0 || err != nil || partition < 0 {
				return usagef("%q is no partition: expected TOPIC/PARTITION, as in access/3", args[0])
			}
			action, err := f.action("")
			if err != nil {
				return err
			}
			return a.withTopics(cmd.Context(), func(ctx context.Context, v *topicView) error {
				return v.skip(ctx, a, args[0][:slash], int32(partition), action)
			})
		},
	}
	f.addReason(cmd)
	return cmd
}

// skip notes that a partition is to pass what it stands before.
func (v *topicView) skip(ctx context.Context, a *app, topic string, partition int32, by schema.FindingAction) error {
	_, inForce, err := v.inForce(topic)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(v.standing, func(s consumer.Standing) bool {
		return s.Partition == schema.Partition{Incarnation: inForce.Name, Partition: partition}
	})
	if at < 0 {
		return usagef("topic %s has no partition %d", topic, partition)
	}
	s := v.standing[at]
	switch {
	case s.Stopped != nil:
		return fmt.Errorf("%s/%d stands still for another reason, and skipping does not help: %w", topic, partition, s.Stopped)
	case s.Unreadable == nil:
		return fmt.Errorf("%s/%d does not stand before records that cannot be decoded, so there is nothing to skip: it is counted up to offset %d, Kafka holds %d to %d",
			topic, partition, s.Counted, s.First, s.End)
	}
	u := s.Unreadable
	if _, err := fmt.Fprintf(a.stdout, "%s/%d: %v\n", topic, partition, schema.Printable(u.Error())); err != nil {
		return err
	}
	again, err := v.store.Skips(ctx, s.Partition, u.From)
	if err != nil {
		return err
	}
	if !again {
		err := v.store.SaveSkip(ctx, store.Skip{Partition: s.Partition, Offset: u.From, To: u.To, Why: u.Why, Reason: by.Reason, Who: by.Who, At: by.At})
		if err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.stdout, "%s offsets are passed within ten seconds by the instance that reads the partition, or once one does. Its log and overreach topic list say so; "+
		"the table coverage counts them as unreadable, and no zero that they may belong to is proof.\n", thousands(uint64(u.To-u.From))) //nolint:gosec // To lies behind From
	return err
}

// standsBefore says how a partition that stands before what cannot be decoded
// goes on.
func standsBefore(topic string, s consumer.Standing, after time.Duration) string {
	then := "by itself it does not pass them"
	if after > 0 {
		then = fmt.Sprintf("it passes them by itself once an instance has stood there for %s", after)
	}
	return fmt.Sprintf("%s/%d stands still: %v; to pass them at once: overreach skip %s/%d --reason ...; %s",
		s.Incarnation, s.Partition.Partition, s.Unreadable, topic, s.Partition.Partition, then)
}
