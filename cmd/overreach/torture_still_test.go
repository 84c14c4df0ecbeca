package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// tortureStalled is after what time the watermark leaves out a partition that
// stands still. The program that the kill test builds takes as little.
const tortureStalled = 4 * time.Second

// tortureLateness is that of the kill test's instances: the default.
const tortureLateness = 5 * time.Minute

// waitsForNobody shows that everybody is judged though records keep coming to two
// partitions that stand still: the watermark comes as near to the latest event as
// it may while a partition is behind. tend is called meanwhile.
func (d *database) waitsForNobody(tend func()) error {
	producing, stop := context.WithCancel(d.t.Context())
	produced := make(chan error, 1)
	go func() {
		var err error
		for producing.Err() == nil && err == nil {
			err = d.log.produceStill(d.t.Context())
			time.Sleep(20 * time.Millisecond)
		}
		produced <- err
	}()
	time.Sleep(time.Second) // from now on they are behind, and what is produced now is the latest
	if err := d.log.produce(d.t.Context(), 120); err != nil {
		stop()
		return errors.Join(err, <-produced)
	}
	_, latest := d.log.ends()
	judged := fmt.Sprintf("SELECT uniqExact(slot) FROM judged FINAL WHERE cadence = 'minute' AND toUnixTimestamp(watermark) >= %d",
		(latest/1000-int64(tortureLateness.Seconds()))/60*60)
	last := ""
	reached := holds(drainWithin, func() bool {
		time.Sleep(200 * time.Millisecond)
		tend()
		rows, err := d.ask(judged)
		if err != nil {
			last = err.Error()
			return false
		}
		last = rows[0] + " of 256 slots"
		return rows[0] == "256"
	})
	stop()
	if err := <-produced; err != nil || reached {
		return err
	}
	return errors.New("the watermark waits for partitions that stand still: it came near the latest event in " + last)
}

// produceStill sends a record to each of the partitions that stand still.
func (l *tortureLog) produceStill(ctx context.Context) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	events := l.some(2)
	events[0].reject, events[0].partition = "not_json", tortureRejected
	events[1].reject, events[1].partition = "not_json", tortureStill
	if e := &events[1]; e.Partner != "" && e.Action != "look" {
		e.reject, e.at, e.Time = "", tortureStillTime.UnixMilli(), tortureStillTime.Format(tortureTime)
	}
	return l.send(ctx, l.client, events)
}
