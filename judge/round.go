package judge

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/overreach/overreach/detectors"
	"github.com/overreach/overreach/detectors/usage"
	"github.com/overreach/overreach/schema"
)

// What one step of a round holds at most.
const (
	markersARead = 2000
	daysASlice   = 31
	partnersAAsk = 500
)

// A gap in the chain of markers that stays this long is one: its markers expired
// before anybody judged them.
const gapPatience = time.Minute

// round is one round of the judge: a registry, a version, and what is touched.
type round struct {
	judge    *Judge
	registry *schema.Registry
	version  schema.Version
	extents  []schema.Marker

	named  []string // unregistered partners judged by name; nil until read
	folded uint64   // unregistered partners that are not
}

// run judges, for one tier, what the markers since its last run have touched.
func (r *round) run(ctx context.Context, tier schema.Resolution) error {
	j := r.judge
	for {
		markers, err := j.store.Markers(ctx, j.at[tier], markersARead)
		if err != nil {
			return fmt.Errorf("reading markers: %w", err)
		}
		to, minutes := r.chain(tier, markers)
		full := len(markers) == markersARead
		changed := j.judgedBy[tier] != 0 && j.judgedBy[tier] != r.version.Registry
		rolls := j.watermark/60 > j.rolled[tier]/60 && !full
		if len(to) == 0 && !changed && !rolls {
			return nil
		}
		if err := r.judgeTouched(ctx, tier, minutes, changed, rolls); err != nil {
			return err
		}
		if err := j.store.WriteJudged(ctx, r.positions(tier, to)); err != nil {
			return fmt.Errorf("writing how far was judged: %w", err)
		}
		maps.Copy(j.at[tier], to)
		j.judgedBy[tier] = r.version.Registry
		if rolls {
			j.rolled[tier] = j.watermark
		}
		if !full || len(to) == 0 {
			return nil
		}
	}
}

// chain follows the markers of each partition from where the tier stands, each
// beginning where the one before ended, and returns the new positions and the
// minutes of event time that were touched, ascending.
func (r *round) chain(tier schema.Resolution, markers []schema.Marker) (map[schema.Partition]int64, []int64) {
	j := r.judge
	to := map[schema.Partition]int64{}
	touched := map[int64]struct{}{}
	for _, m := range markers {
		at, ok := to[m.Partition]
		if !ok {
			at, ok = j.at[tier][m.Partition]
		}
		if ok && m.From > at && !r.jump(m, at) {
			continue
		}
		if ok && m.To <= at {
			continue
		}
		to[m.Partition] = m.To
		for _, minute := range m.Minutes {
			touched[int64(minute)] = struct{}{}
		}
	}
	return to, slices.Sorted(maps.Keys(touched))
}

// jump reports whether to go on after a gap in the chain: markers that are not
// visible yet appear soon, and those that expired never do.
func (r *round) jump(m schema.Marker, at int64) bool {
	j := r.judge
	since, waiting := j.gapSince[m.Partition]
	if !waiting {
		j.gapSince[m.Partition] = time.Now()
		return false
	}
	if time.Since(since) < gapPatience {
		return false
	}
	delete(j.gapSince, m.Partition)
	j.logger.Warn().Str("stream", m.Stream).Int32("partition", m.Partition.Partition).Int64("from", at).Int64("to", m.From).
		Msg("the markers of these offsets have expired before they were judged; what they touched is judged when it is touched again")
	return true
}

func (r *round) positions(tier schema.Resolution, to map[schema.Partition]int64) []schema.Position {
	j := r.judge
	all := maps.Clone(j.at[tier])
	maps.Copy(all, to)
	positions := make([]schema.Position, 0, len(j.slots)*len(all))
	for p, offset := range all {
		for _, s := range j.slots {
			positions = append(positions, schema.Position{
				Slot: s, Tier: tier, Partition: p, To: offset, Watermark: j.watermark, Registry: r.version.Registry,
			})
		}
	}
	return positions
}

// judgeTouched judges every key that the minutes touched, in slices of event
// time, oldest first; every key of all where the registry changed; and the keys
// of open findings where the watermark rolled.
func (r *round) judgeTouched(ctx context.Context, tier schema.Resolution, minutes []int64, changed, rolls bool) error {
	days := daysOf(minutes)
	if changed {
		days, minutes = r.everyDay(), nil
	}
	for chunk := range slices.Chunk(days, daysASlice) {
		activities, err := r.active(ctx, tier, chunk, minutes)
		if err != nil {
			return err
		}
		if tier == schema.Daily {
			rest, err := r.rest(ctx, chunk)
			if err != nil {
				return err
			}
			activities = append(activities, rest...)
		}
		if err := r.judge.judgeActivities(ctx, r, tier, activities); err != nil {
			return err
		}
	}
	if !rolls && !changed {
		return nil
	}
	activities, err := r.open(ctx)
	if err != nil {
		return err
	}
	return r.judge.judgeActivities(ctx, r, tier, activities)
}

// daysOf returns the UTC days that the minutes fall in, ascending.
func daysOf(minutes []int64) []schema.Day {
	var days []schema.Day
	for _, m := range minutes {
		days = append(days, schema.DayOfSecond(m*60))
	}
	return slices.Compact(days)
}

// everyDay returns the days between the first and the last event, ascending.
func (r *round) everyDay() []schema.Day {
	first, last := int64(0), int64(0)
	for _, e := range r.extents {
		if e.FirstEvent != 0 && (first == 0 || e.FirstEvent < first) {
			first = e.FirstEvent
		}
		last = max(last, e.LastEvent)
	}
	var days []schema.Day
	if last == 0 {
		return nil
	}
	for d := schema.DayOfSecond(first / 1000); d <= schema.DayOfSecond(last/1000); d++ {
		days = append(days, d)
	}
	return days
}

// fewMinutes is up to how many touched minutes are read as such; for more, whole
// days are, which names some partners in vain and is cheaper.
const fewMinutes = 120

// active reads which partners used which scopes on the days, in our slots.
func (r *round) active(ctx context.Context, tier schema.Resolution, days []schema.Day, minutes []int64) ([]usage.Activity, error) {
	q := schema.UsageQuery{
		Resolution: schema.Daily, From: days[0].Second(), To: (days[len(days)-1] + 1).Second(),
		Slots: r.judge.slots, ByCapability: true, ByAction: true, ByBucket: true,
	}
	if tier == schema.Minute && len(minutes) > 0 && len(minutes) <= fewMinutes {
		q.Resolution, q.Buckets = schema.Minute, make([]int64, len(minutes))
		for i, m := range minutes {
			q.Buckets[i] = m * 60
		}
	}
	cells, err := r.judge.store.Usage(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("reading who was active: %w", err)
	}
	apart, err := r.unregistered(ctx, cells)
	if err != nil {
		return nil, err
	}
	var activities []usage.Activity
	for _, c := range cells { // sorted by partner
		if apart != nil && !apart(c.Partner) {
			continue
		}
		if n := len(activities); n == 0 || activities[n-1].Partner != c.Partner {
			activities = append(activities, usage.Activity{Partner: c.Partner})
		}
		a := &activities[len(activities)-1]
		day := schema.DayOfSecond(c.Bucket)
		if _, ok := slices.BinarySearch(days, day); !ok {
			continue
		}
		a.Days = append(a.Days, day)
		a.Scopes = append(a.Scopes, usage.Scope{Capability: c.Capability, Action: c.Action})
	}
	for i := range activities {
		tidy(&activities[i])
	}
	return activities, nil
}

// unregistered returns which partners among the cells are judged by name, nil
// for all: the registered ones and the unregistered names with the lowest
// hashes, so that every instance chooses alike.
func (r *round) unregistered(ctx context.Context, cells []schema.UsageCell) (func(partner string) bool, error) {
	strangers := 0
	for i, c := range cells {
		if _, ok := r.registry.Partners[c.Partner]; !ok && (i == 0 || cells[i-1].Partner != c.Partner) {
			strangers++
		}
	}
	if strangers <= r.judge.cfg.MaxUnregistered {
		return nil, nil
	}
	if err := r.readStrangers(ctx); err != nil {
		return nil, err
	}
	return func(partner string) bool {
		_, registered := r.registry.Partners[partner]
		_, named := slices.BinarySearch(r.named, partner)
		return registered || named
	}, nil
}

// readStrangers reads, once a round, which unregistered partners are judged by
// name and how many are not.
func (r *round) readStrangers(ctx context.Context) error {
	if r.named != nil {
		return nil
	}
	names, others, err := r.judge.store.Unregistered(ctx, slices.Sorted(maps.Keys(r.registry.Partners)), r.judge.cfg.MaxUnregistered)
	if err != nil {
		return fmt.Errorf("reading unregistered partners: %w", err)
	}
	r.judge.metrics.unregistered(len(names), others)
	slices.Sort(names)
	r.named, r.folded = append([]string{}, names...), others
	return nil
}

// rest returns the activity of the unregistered partners that are not judged by
// name, added up; nil where there are none, or their slot is another instance's.
func (r *round) rest(ctx context.Context, days []schema.Day) ([]usage.Activity, error) {
	if !slices.Contains(r.judge.slots, schema.Slot(detectors.Folded)) {
		return nil, nil
	}
	if err := r.readStrangers(ctx); err != nil || r.folded == 0 {
		return nil, err
	}
	return []usage.Activity{{Partner: detectors.Folded, Days: days}}, nil
}

// usage reads the usage of partners. The rest alone, which has no name in the
// store, is everybody who is not judged by name, added up.
func (r *round) usage(ctx context.Context, q schema.UsageQuery, partners ...string) ([]schema.UsageCell, error) {
	if !slices.Equal(partners, []string{detectors.Folded}) {
		q.Partners = partners
		return r.judge.store.Usage(ctx, q)
	}
	if err := r.readStrangers(ctx); err != nil {
		return nil, err
	}
	q.NotPartners = append(slices.Sorted(maps.Keys(r.registry.Partners)), r.named...)
	cells, err := r.judge.store.Usage(ctx, q)
	for i := range cells {
		cells[i].Partner = detectors.Folded
	}
	return cells, err
}

// open returns an activity for each partner that has findings that have not
// ended, in our slots, so that they are asked for again.
func (r *round) open(ctx context.Context) ([]usage.Activity, error) {
	findings, err := r.judge.store.Findings(ctx, schema.FindingsQuery{Slots: r.judge.slots, OpenOnly: true})
	if err != nil {
		return nil, fmt.Errorf("reading open findings: %w", err)
	}
	byPartner := map[string]*usage.Activity{}
	for _, f := range findings {
		a := byPartner[f.Partner]
		if a == nil {
			a = &usage.Activity{Partner: f.Partner}
			byPartner[f.Partner] = a
		}
		a.Open = append(a.Open, f.FindingKey)
		a.Days = append(a.Days, max(f.Period, 1))
		if f.Capability != "" {
			for _, action := range schema.Actions {
				a.Scopes = append(a.Scopes, usage.Scope{Capability: f.Capability, Action: action})
			}
		}
	}
	activities := make([]usage.Activity, 0, len(byPartner))
	for _, name := range slices.Sorted(maps.Keys(byPartner)) {
		tidy(byPartner[name])
		activities = append(activities, *byPartner[name])
	}
	return activities, nil
}

func tidy(a *usage.Activity) {
	slices.Sort(a.Days)
	a.Days = slices.Compact(a.Days)
	slices.SortFunc(a.Scopes, func(x, y usage.Scope) int {
		if x.Capability != y.Capability {
			if x.Capability < y.Capability {
				return -1
			}
			return 1
		}
		return int(x.Action) - int(y.Action)
	})
	a.Scopes = slices.Compact(a.Scopes)
}

// judgeActivities asks, answers and decides, some hundred partners at a time.
func (j *Judge) judgeActivities(ctx context.Context, r *round, tier schema.Resolution, activities []usage.Activity) error {
	for chunk := range slices.Chunk(activities, partnersAAsk) {
		if err := r.decide(ctx, tier, chunk); err != nil {
			return err
		}
	}
	return nil
}

// asked is a question with the detector that asked it.
type asked struct {
	usage.Question
	detector detectors.Detector
	id       string
}

// decide judges one chunk of partners and writes what came out.
func (r *round) decide(ctx context.Context, tier schema.Resolution, activities []usage.Activity) error {
	questions, stored, err := r.ask(ctx, tier, activities)
	if err != nil || len(questions) == 0 {
		return err
	}
	answers, err := r.answer(ctx, questions)
	if err != nil {
		return err
	}
	var findings []schema.Finding
	for i, q := range questions {
		f, ok := q.detector.Judge(r.registry, q.Question, answers[i])
		before, had := stored[q.id]
		switch {
		case ok:
			if err := r.addEvidence(ctx, q, &f); err != nil {
				return fmt.Errorf("reading the evidence of a finding of %s: %w", q.Partner, err)
			}
		case had && before.State != schema.Withdrawn:
			expired, err := r.expired(ctx, q)
			if err != nil {
				return err
			}
			if expired {
				continue
			}
			f = before
			f.State = schema.Withdrawn
			f.Registry = r.registry.SHA256
		default:
			continue
		}
		if !had || !same(before, f) {
			findings = append(findings, f)
		}
		stored[q.id] = f
	}
	return r.write(ctx, findings, stored)
}

// ask collects the questions that belong to the tier, and the findings that
// stand for them so far. A question about a whole period belongs to the days'
// tier; it is asked in each round only until its finding is there, or where it
// may become worse.
func (r *round) ask(ctx context.Context, tier schema.Resolution, activities []usage.Activity) ([]asked, map[string]schema.Finding, error) {
	var questions []asked
	var ids []string
	for _, a := range activities {
		for _, d := range r.judge.detectors {
			for _, q := range d.Ask(r.registry, a) {
				whole := q.Window == schema.WindowPeriod
				if q.Window.Step() != tier && (!whole || tier != schema.Minute) {
					continue
				}
				questions = append(questions, asked{Question: q, detector: d, id: q.ID()})
				ids = append(ids, q.ID(), neighbour(q.FindingKey, -1).ID(), neighbour(q.FindingKey, +1).ID())
			}
		}
	}
	if len(questions) == 0 {
		return nil, nil, nil
	}
	found, err := r.judge.store.Findings(ctx, schema.FindingsQuery{IDs: ids})
	if err != nil {
		return nil, nil, fmt.Errorf("reading findings: %w", err)
	}
	stored := make(map[string]schema.Finding, len(found))
	for _, f := range found {
		stored[f.ID()] = f.Finding
	}
	if tier == schema.Minute {
		questions = slices.DeleteFunc(questions, func(q asked) bool {
			f, ok := stored[q.id]
			return q.Window == schema.WindowPeriod && ok && f.State == schema.Open && f.Accesses > 0
		})
	}
	return questions, stored, nil
}

// neighbour returns the key of the finding one day before or after, for the
// windows whose findings are of a day.
func neighbour(k schema.FindingKey, days schema.Day) schema.FindingKey {
	if k.Window.Step() != schema.Daily {
		k.Period += days
	}
	return k
}

// expired reports whether the buckets that the question's windows are made of
// are no longer all kept, in which case what was found stays.
func (r *round) expired(ctx context.Context, q asked) (bool, error) {
	if q.Window.Step() == schema.Daily {
		return false, nil
	}
	sum := func(res schema.Resolution) (uint64, error) {
		cells, err := r.judge.store.Usage(ctx, schema.UsageQuery{
			Resolution: res, From: (q.Period - 1).Second(), To: (q.Period + 1).Second(), Partners: []string{q.Partner},
		})
		if err != nil || len(cells) == 0 {
			return 0, err
		}
		return cells[0].Accesses, nil
	}
	fine, err := sum(q.Window.Step())
	if err != nil {
		return false, err
	}
	whole, err := sum(schema.Daily)
	return fine < whole, err
}

// same reports whether two versions of a finding say the same.
func same(a, b schema.Finding) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
