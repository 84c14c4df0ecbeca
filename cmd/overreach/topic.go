package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"github.com/overreach/overreach/consumer"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

func newTopicCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "topic",
		Short: "List the topics that are read; begin a topic's next incarnation; change its group",
		Long: `A topic incarnation is a topic from its creation to its deletion, written as
cluster/topic@number. Overreach counts by incarnation: where somebody deletes a topic
and makes it again, its offsets begin anew and mean other records. The incarnation
with the greatest number is in force.

list shows each partition: which offsets are counted, which ones Kafka holds, and why
a partition stands still. new begins a topic's next incarnation. take lets the
configured group read a topic that another group has read.`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTopicListCommand(a), newTopicNewCommand(a), newTopicTakeCommand(a))
	return cmd
}

func newTopicListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show what is counted of each partition, and why one stands still",
		Long: `Shows for each partition of the configured topics up to which offset all is
counted, the group's offset, and the offsets that Kafka holds. Joins no group and
changes nothing.`,
		Example: "  overreach topic list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withTopics(cmd.Context(), func(_ context.Context, v *topicView) error { return v.list(a) })
		},
	}
}

func newTopicNewCommand(a *app) *cobra.Command {
	var start string
	cmd := &cobra.Command{
		Use:   "new TOPIC",
		Short: "Begin the next incarnation of a topic that was made again or cut off",
		Long: `Begins the next incarnation of a topic whose partitions stand still, because it was
deleted and made again or its log was cut off. What was counted stays. Instances
that run take it up within some seconds; none has to be restarted.

A topic that was made again is read from its beginning. Where Kafka says that it
is the same topic, its log was cut off, and most of what it holds has been
counted: say with --start where the records begin that were not.`,
		Example: `  overreach topic new access
  overreach topic new access --start since:2026-11-24T13:00:00Z`,
		Args: oneTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			var at *consumer.Start
			if start != "" {
				var parsed Start
				if err := parsed.UnmarshalText([]byte(start)); err != nil {
					return usagef("--start: %v", err)
				}
				at = &consumer.Start{At: consumer.StartAt(parsed.At), Time: parsed.Since}
			}
			return a.withTopics(cmd.Context(), func(ctx context.Context, v *topicView) error { return v.renew(ctx, a, args[0], at) })
		},
	}
	cmd.Flags().StringVar(&start, "start", "", "where the next incarnation begins: earliest, latest or since:`TIME` (default: earliest, where the topic was made again)")
	return cmd
}

func newTopicTakeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "take TOPIC",
		Short: "Give a topic to this configuration's consumer group",
		Long: `Lets this configuration's kafka.group read a topic that another group has read
until now. Two groups would count every record twice, so stop the other group's
instances first: as long as it has members this is refused. What is counted stays
counted, and a batch that the other group has begun is finished as it was begun.`,
		Example: "  overreach topic take access",
		Args:    oneTopic,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withTopics(cmd.Context(), func(ctx context.Context, v *topicView) error { return v.take(ctx, a, args[0]) })
		},
	}
}

// oneTopic accepts one argument.
func oneTopic(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one topic, not %d arguments; see %s --help", cmd.CommandPath(), len(args), cmd.CommandPath())
	}
	return nil
}

// topicView is what the tables and Kafka say of the configured topics.
type topicView struct {
	cfg          consumer.Config
	store        *store.Store
	known        []store.Incarnation
	incarnations []consumer.Incarnation
	standing     []consumer.Standing
}

// withTopics looks at the incarnations, and gives up on servers that do not answer.
func (a *app) withTopics(ctx context.Context, do func(context.Context, *topicView) error) error {
	c, _, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := c.ValidateRun(); err != nil {
		return err
	}
	cfg, err := c.service(a.version)
	if err != nil {
		return err
	}
	return a.withStore(ctx, "", func(ctx context.Context, st *store.Store) error {
		ctx, cancel := context.WithTimeout(ctx, 3*connectTimeout)
		defer cancel()
		v := &topicView{cfg: cfg.consumer, store: st}
		if v.known, err = st.Incarnations(ctx); err != nil {
			return err
		}
		v.cfg.Incarnations = func(_ context.Context, now []consumer.Incarnation) ([]consumer.Incarnation, error) {
			for i, s := range now {
				if inForce, is := store.InForce(v.known, s.Name); is {
					now[i] = asKnown(s, inForce)
				}
			}
			return now, nil
		}
		if v.incarnations, v.standing, err = consumer.Inspect(ctx, v.cfg, st); err != nil {
			return err
		}
		return do(ctx, v)
	})
}

// inForce returns the incarnation of a topic that is in force.
func (v *topicView) inForce(topic string) (consumer.Incarnation, store.Incarnation, error) {
	var names []string
	for _, s := range v.incarnations {
		if s.Topic != topic {
			names = append(names, s.Topic)
			continue
		}
		inForce, is := store.InForce(v.known, s.Name)
		if !is {
			return s, inForce, fmt.Errorf("topic %s was never read: there is nothing to change, overreach run reads it", topic)
		}
		return s, inForce, nil
	}
	return consumer.Incarnation{}, store.Incarnation{}, usagef("topic %q is not in the configuration, which names %s", topic, strings.Join(names, ", "))
}

func (v *topicView) list(a *app) error {
	table := [][]string{{"STREAM", "GROUP", "PARTITION", "COUNTED TO", "GROUP AT", "KAFKA HOLDS", "BEHIND"}}
	const firstNumber = 2
	number := func(n int64) string {
		if n < 0 {
			return "-"
		}
		return strconv.FormatInt(n, 10)
	}
	var stopped []string
	for _, s := range v.standing {
		inForce, _ := store.InForce(v.known, s.Incarnation)
		behind := number(max(0, s.End-max(s.Counted, s.First)))
		if s.Stopped != nil {
			behind = "stands still"
			stopped = append(stopped, fmt.Sprintf("%s/%d stands still: %v", s.Incarnation, s.Partition.Partition, s.Stopped))
		}
		if s.Unreadable != nil {
			behind = "stands still"
			stopped = append(stopped, standsBefore(inForce.Topic, s, v.cfg.UnreadableAfter))
		}
		table = append(table, []string{s.Incarnation, inForce.Group, strconv.Itoa(int(s.Partition.Partition)), number(s.Counted), number(s.Committed),
			fmt.Sprintf("%d to %d", s.First, s.End), behind})
	}
	for _, line := range alignNumbers(table, firstNumber) {
		if _, err := fmt.Fprintln(a.stdout, line); err != nil {
			return err
		}
	}
	for _, line := range stopped {
		if _, err := fmt.Fprintln(a.stdout, schema.Printable(line)); err != nil {
			return err
		}
	}
	for _, k := range v.known {
		if inForce, _ := store.InForce(v.known, k.Name); inForce.Name != k.Name {
			if _, err := fmt.Fprintf(a.stdout, "%s was read by %s until %s began\n", k.Name, k.Group, inForce.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// renew begins the next incarnation of a topic: first the markers that say where its
// partitions begin, then the row that puts it in force.
func (v *topicView) renew(ctx context.Context, a *app, topic string, at *consumer.Start) error {
	incarnation, inForce, err := v.inForce(topic)
	if err != nil {
		return err
	}
	if inForce.Group != v.cfg.Group {
		return fmt.Errorf("incarnation %s is read by group %s, not by %s: set kafka.group to %s, or see overreach topic take --help", inForce.Name, inForce.Group, v.cfg.Group, inForce.Group)
	}
	stands := func(s consumer.Standing) bool { return s.Incarnation == incarnation.Name && s.Stopped != nil }
	if !slices.ContainsFunc(v.standing, stands) {
		return fmt.Errorf("no partition of %s stands still: a next incarnation would count all of it again; to do that, use another database", inForce.Name)
	}
	made := incarnation.MadeAgain()
	if at == nil && !made {
		return usagef("kafka does not say that topic %s was made again, so its log may have been cut off, and what is left of it was counted: say with --start where what was not counted begins: earliest, latest or since:TIME", topic)
	}
	if at == nil {
		at = &consumer.Start{At: consumer.Earliest}
	}
	starts, ids, err := consumer.StartsAt(ctx, v.cfg, topic, *at)
	if err != nil {
		return err
	}
	next := inForce.Next(ids)
	for id, from := range starts {
		m := schema.Marker{Range: schema.Range{Partition: schema.Partition{Incarnation: next.Name, Partition: id}, From: from, To: from, Pinned: schema.DayOf(time.Now())}}
		if err := v.store.InsertUsage(ctx, m, &schema.UsageRows{}); err != nil {
			return err
		}
	}
	if err := v.store.SaveIncarnation(ctx, next); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s is in force: %d partitions, from %s on. What was counted of %s stays. Instances that run take it up by themselves.\n",
		next.Name, len(starts), at, inForce.Name)
	return err
}

// take gives a topic to the configuration's group: first what the other group
// has committed, with the pins that say which batch is unfinished, then the row.
func (v *topicView) take(ctx context.Context, a *app, topic string) error {
	_, inForce, err := v.inForce(topic)
	if err != nil {
		return err
	}
	if inForce.Group == v.cfg.Group {
		_, err := fmt.Fprintf(a.stdout, "%s is read by group %s already\n", inForce.Name, inForce.Group)
		return err
	}
	client, err := a.kafkaClient(nil)
	if err != nil {
		return err
	}
	defer client.close()
	for _, group := range []string{inForce.Group, v.cfg.Group} {
		if err := mustBeEmpty(ctx, client, group); err != nil {
			return err
		}
	}
	var ids []int
	for _, s := range v.standing {
		if s.Incarnation == inForce.Name {
			ids = append(ids, int(s.Partition.Partition))
		}
	}
	if err := copyOffsets(ctx, client, topic, ids, inForce.Group, v.cfg.Group); err != nil {
		return err
	}
	before := inForce.Group
	inForce.Group = v.cfg.Group
	if err := v.store.SaveIncarnation(ctx, inForce); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s is read by group %s from now on, no longer by %s\n", inForce.Name, inForce.Group, before)
	return err
}

// mustBeEmpty refuses a group in which instances still read.
func mustBeEmpty(ctx context.Context, client kafkaClient, group string) error {
	res, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return fmt.Errorf("asking for the members of group %s: %w", group, err)
	}
	for _, g := range res.Groups {
		if g.Error != nil && !errors.Is(g.Error, kafka.GroupIdNotFound) {
			return fmt.Errorf("asking for the members of group %s: %w", group, g.Error)
		}
		if n := len(g.Members); n > 0 {
			return fmt.Errorf("group %s has %d members: stop its instances first, and wait ten seconds where one was killed", group, n)
		}
	}
	return nil
}

// copyOffsets commits as one group what another has committed.
func copyOffsets(ctx context.Context, client kafkaClient, topic string, partitions []int, from, to string) error {
	res, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: from, Topics: map[string][]int{topic: partitions}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return fmt.Errorf("reading the offsets of group %s: %w", from, err)
	}
	var commits []kafka.OffsetCommit
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return fmt.Errorf("reading the offsets of group %s: %w", from, p.Error)
		}
		if p.CommittedOffset >= 0 {
			commits = append(commits, kafka.OffsetCommit{Partition: p.Partition, Offset: p.CommittedOffset, Metadata: p.Metadata})
		}
	}
	if len(commits) == 0 {
		return nil
	}
	done, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: to, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: commits}})
	if err != nil {
		return fmt.Errorf("committing as group %s: %w", to, err)
	}
	for _, p := range done.Topics[topic] {
		if p.Error != nil {
			return fmt.Errorf("committing partition %d as group %s: %w", p.Partition, to, p.Error)
		}
	}
	return nil
}
