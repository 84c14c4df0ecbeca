package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/overreach/overreach/schema"
)

// WriteAction appends what a person did about a finding.
func (s *Store) WriteAction(ctx context.Context, a schema.FindingAction) error {
	var until *time.Time
	if a.Act == schema.Silence {
		until = &a.Until
	}
	columns := []string{"finding", "at", "act", "who", "reason", "until", "verdict", "people"}
	return s.insert(ctx, "finding_actions", columns, "", func(b *block) {
		b.row([]any{a.Finding, a.At, string(a.Act), a.Who, a.Reason, until, string(a.Verdict), a.People})
	})
}

// Actions returns what was done about the findings of the given ids, in the
// order of time.
func (s *Store) Actions(ctx context.Context, ids []string) ([]schema.FindingAction, error) {
	rows, err := s.conn.Query(ctx, "SELECT finding, at, act, who, reason, until, verdict, people FROM finding_actions WHERE "+
		in("finding", quoteAll(ids))+" ORDER BY at, finding, act")
	if err != nil {
		return nil, fmt.Errorf("reading actions: %w", s.explain(err))
	}
	var all []schema.FindingAction
	err = scan(rows, func() error {
		var a schema.FindingAction
		var act, verdict string
		var until *time.Time
		if err := rows.Scan(&a.Finding, &a.At, &act, &a.Who, &a.Reason, &until, &verdict, &a.People); err != nil {
			return err
		}
		a.Act, a.Verdict = schema.Act(act), schema.Verdict(verdict)
		if until != nil {
			a.Until = *until
		}
		all = append(all, a)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading actions: %w", s.explain(err))
	}
	return all, nil
}

// Changes returns, in the order in which they were told, all that was ever told
// of the partners of whom something is open, was told since the given time, or
// was acted upon since then, and of those that the registry did not know, whenever
// that was: how many there were decides how they are told. Partners that are not nil are the only ones asked for.
func (s *Store) Changes(ctx context.Context, partners []string, since time.Time) ([]schema.Change, error) {
	at := fmt.Sprintf("fromUnixTimestamp64Milli(%d, 'UTC')", since.UnixMilli())
	where := "partner IN (SELECT partner FROM finding_changes GROUP BY partner, id HAVING max(reported) >= " + at +
		" OR argMax(state, (reported, offsets)) = 'open' OR id IN (SELECT finding FROM finding_actions WHERE at >= " + at + "))"
	where = "(" + where + " OR detector = 'unregistered_partner')"
	if partners != nil {
		where = in("partner", quoteAll(partners)) + " AND " + where
	}
	rows, err := s.conn.Query(ctx, "SELECT id, detector, partner, capability, window, cause, period, reported, change, severity, state, first_crossing, peak, last_seen, people"+
		" FROM finding_changes WHERE "+where+" ORDER BY reported, id, offsets")
	if err != nil {
		return nil, fmt.Errorf("reading what was told: %w", s.explain(err))
	}
	var all []schema.Change
	err = scan(rows, func() error {
		var t schema.Change
		var window, change, severity, state string
		var period *time.Time
		if err := rows.Scan(&t.ID, &t.Detector, &t.Partner, &t.Capability, &window, &t.Cause, &period,
			&t.Reported, &change, &severity, &state, &t.FirstCrossing, &t.Peak, &t.LastSeen, &t.People); err != nil {
			return err
		}
		t.Window, t.Period, t.Kind = schema.Window(window), dayOrZero(period), schema.ChangeKind(change)
		t.Severity, t.State = schema.Severity(severity), schema.State(state)
		all = append(all, t)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was told: %w", s.explain(err))
	}
	return all, nil
}

// WriteDeliveries appends how deliveries ended.
func (s *Store) WriteDeliveries(ctx context.Context, deliveries []schema.Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	h := sha256.New()
	for _, d := range deliveries {
		_, _ = fmt.Fprintf(h, "%s %s %d\n", d.Receiver, d.Event, d.At.UnixMilli()) // a hash never fails
	}
	columns := []string{"receiver", "event", "kind", "alert", "partner", "at", "outcome", "attempts", "detail"}
	return s.insert(ctx, "deliveries", columns, "deliveries "+hex.EncodeToString(h.Sum(nil)), func(b *block) {
		for _, d := range deliveries {
			b.row([]any{d.Receiver, d.Event, d.Kind, d.Alert, d.Partner, d.At, string(d.Outcome), d.Attempts, d.Detail})
		}
	})
}

// Deliveries returns which of the events have been dealt with, by receiver.
func (s *Store) Deliveries(ctx context.Context, events []string) (map[string]map[string]schema.Outcome, error) {
	rows, err := s.conn.Query(ctx, "SELECT receiver, event, argMax(outcome, at) FROM deliveries WHERE "+in("event", quoteAll(events))+" GROUP BY receiver, event")
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", s.explain(err))
	}
	all := map[string]map[string]schema.Outcome{}
	err = scan(rows, func() error {
		var receiver, event, outcome string
		if err := rows.Scan(&receiver, &event, &outcome); err != nil {
			return err
		}
		if all[receiver] == nil {
			all[receiver] = map[string]schema.Outcome{}
		}
		all[receiver][event] = schema.Outcome(outcome)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading deliveries: %w", s.explain(err))
	}
	return all, nil
}

// FindingIDs returns the ids that begin with a prefix of hexadecimal digits, at
// most limit of them.
func (s *Store) FindingIDs(ctx context.Context, prefix string, limit int) ([]string, error) {
	rows, err := s.conn.Query(ctx, fmt.Sprintf("SELECT DISTINCT id FROM findings_log WHERE startsWith(id, %s) ORDER BY id LIMIT %d", quote(strings.ToLower(prefix)), limit))
	if err != nil {
		return nil, fmt.Errorf("reading ids of findings: %w", s.explain(err))
	}
	var ids []string
	err = scan(rows, func() error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading ids of findings: %w", s.explain(err))
	}
	return ids, nil
}
