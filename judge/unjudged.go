package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
)

// For how long a cadence may stand before it is a stall. Windows that slide are judged each
// minute at the latest, also while a pass over closed buckets goes on; the first such
// pass over a long history takes tens of minutes.
const (
	slidingStands = 10 * time.Minute
	closedStands  = time.Hour
)

// sayAnother is how long a failure is said before another one is: two that alternate
// would fill the log.
const sayAnother = 15 * time.Second

// failure is what was said of rounds that fail, and when; zero while they work.
type failure struct {
	said string
	at   time.Time
}

// note notes how a round ended, and says it where it is new. After the first that fails it
// is read again where judging stands.
func (j *Judge) note(err error) {
	now := j.now()
	switch was := j.failure; {
	case err == nil:
		if j.failure = (failure{}); j.health.works() {
			j.logger.Info().Msg("judging works again")
		}
	case j.health.fails():
		j.slots = nil
		j.failure = failure{err.Error(), now}
		j.logger.Warn().Err(err).Msg("judging failed; trying again until it works, nothing is missed")
	case err.Error() != was.said && now.Sub(was.at) >= sayAnother:
		j.failure = failure{err.Error(), now}
		j.logger.Warn().Err(err).Msg("judging still fails, for another reason now; trying again until it works, nothing is missed")
	}
}

// behind is how far a cadence is behind what is counted.
type behind struct {
	offsets int64
	since   time.Time // since when a position did not move though there was something to judge; zero where there was nothing
}

// noteBehind notes how far a cadence is behind, and since when. It is called before and
// after the cadence is judged, so what waits for its turn is not behind.
func (j *Judge) noteBehind(cadence schema.Cadence, extents []schema.Marker) {
	b := behind{}
	for _, e := range extents {
		at, where := j.stands(cadence, e), place{cadence, e.Partition}
		if at >= e.To {
			delete(j.unjudged, where)
			continue
		}
		b.offsets += e.To - at
		w, ok := j.unjudged[where]
		if !ok || w.at != at {
			w = waiting{at: at, since: j.now()}
			j.unjudged[where] = w
		}
		if b.since.IsZero() || w.since.Before(b.since) {
			b.since = w.since
		}
	}
	j.metrics.cadence(cadence, b)
	j.health.mu.Lock()
	defer j.health.mu.Unlock()
	if j.health.cadences == nil {
		j.health.cadences = map[schema.Cadence]behind{}
	}
	j.health.cadences[cadence] = b
}

// standsBy notes that there is nothing to judge here.
func (j *Judge) standsBy() {
	clear(j.unjudged)
	for _, cadence := range schema.Cadences {
		j.noteBehind(cadence, nil)
	}
	j.metrics.stood.Reset()
	j.metrics.leftOut.Reset()
	j.health.mu.Lock()
	defer j.health.mu.Unlock()
	j.health.leftOut = nil
}

// stalls returns the cadences that do not move though there is something to judge.
func stalls(cadences map[schema.Cadence]behind, now func() time.Time) []schema.Stall {
	var all []schema.Stall
	for _, cadence := range schema.Cadences {
		b, most := cadences[cadence], slidingStands
		if cadence.Closed() {
			most = closedStands
		}
		if !b.since.IsZero() && now().Sub(b.since) >= most {
			all = append(all, schema.Stall{
				What: "judge, cadence " + cadence.String(), Since: b.since, Why: fmt.Sprintf("%d offsets are counted and not judged", b.offsets),
			})
		}
	}
	return all
}

// LeftOut returns the partitions that the watermark leaves out, and since when they stand.
// It may be called at any time.
func (j *Judge) LeftOut() []schema.Stall {
	j.health.mu.Lock()
	defer j.health.mu.Unlock()
	return slices.Clone(j.health.leftOut)
}

// noteLeftOut notes which partitions are left out, for Stalls.
func (j *Judge) noteLeftOut(now time.Time) {
	var all []schema.Stall
	for p := range j.out {
		s := j.standing[p]
		all = append(all, schema.Stall{
			What: fmt.Sprintf("%s/%d", topicOf(p.Incarnation), p.Partition), Since: now.Add(-s.stood),
			Why: "the watermark leaves it out: its own clock stands at " + stamp(s.time),
		})
	}
	slices.SortFunc(all, func(a, b schema.Stall) int { return strings.Compare(a.What, b.What) })
	j.health.mu.Lock()
	defer j.health.mu.Unlock()
	for i, s := range all { // it began once
		if was := slices.IndexFunc(j.health.leftOut, func(w schema.Stall) bool { return w.What == s.What }); was >= 0 {
			all[i].Since = j.health.leftOut[was].Since
		}
	}
	j.health.leftOut = all
}

// topicOf returns the topic of an incarnation, cluster/topic@number. A topic's name holds
// neither of both signs.
func topicOf(incarnation string) string {
	topic := incarnation[strings.LastIndexByte(incarnation, '/')+1:]
	if at := strings.LastIndexByte(topic, '@'); at >= 0 {
		topic = topic[:at]
	}
	return topic
}
