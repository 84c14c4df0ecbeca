package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/schema"
)

func TestAlertmanagerNotifiesWhatWasFoundLateAndGoesOn(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	cfg := am.config()
	cfg.Group = 500 * time.Millisecond
	n, _ := running(t, cfg, events, nil)
	late, old := begun("bank", "messaging", schema.Critical), begun("shop", "messaging", schema.Critical)
	late.FirstCrossing = late.FirstCrossing.AddDate(0, 0, -3)
	old.FirstCrossing, old.LastSeen = old.FirstCrossing.AddDate(0, 0, -3), old.LastSeen.AddDate(0, 0, -2)
	events.tell(late, schema.ChangeNew)
	events.tell(old, schema.ChangeNew)
	n.Nudge()
	const digest, page = "firing OverreachDigest shop  info", "firing OverreachVolumeLimit bank messaging critical"
	am.eventually("a page and a digest", func() bool { return len(am.told()) == 2 })
	am.tells("nothing else", am.told()...)
	if all := strings.Join(am.told(), "\n"); !strings.Contains(all, digest) || !strings.Contains(all, page) {
		t.Errorf("it was told\n%s", all)
	}
	old.LastSeen = time.Now()
	_ = events.use(func() { events.findings[old.ID()] = old })
	n.Nudge()
	am.tells("the log was read on, and what was old goes on", append(am.told()[:2:2], "firing OverreachVolumeLimit shop messaging critical")...)
}

func TestAlertmanagerNotifiesAgainWhatWasAcknowledgedAndHasGrownTenfold(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	n, _ := running(t, am.config(), events, nil)
	f := begun("bank", "messaging", schema.Critical)
	events.tell(f, schema.ChangeNew)
	n.Nudge()
	const fires, ends = "firing OverreachVolumeLimit bank messaging critical", "resolved OverreachVolumeLimit bank messaging critical"
	am.tells("it fires", fires)
	events.do(f, schema.Acknowledge, time.Time{})
	grows := func(people uint64) {
		f.People = schema.Estimate{Value: people, Low: people, High: people}
		_ = events.use(func() { events.findings[f.ID()] = f })
		n.Nudge()
	}
	grows(19_999)
	am.tells("fewer than ten times", fires)
	grows(20_000)
	am.eventually("ten times", func() bool {
		return strings.Count(strings.Join(am.told(), "\n"), fires) >= 2 && am.annotations("resolved", "bank") != nil
	})
	if said := am.annotations("firing", "bank"); !strings.Contains(said["grown"], "from 2000 to 20000 people") || !strings.Contains(said["acknowledged"], "by ann") {
		t.Errorf("the second page says %q", said)
	}
	told := am.told()
	am.tells("and no more", told...)
	for _, line := range told {
		if line != fires && line != ends {
			t.Errorf("it was told %q", line)
		}
	}
}

func TestAlertmanagerNotifiesAnotherCapabilityOfWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	n, _ := running(t, am.config(), events, nil)
	f := begun("bank", "messaging", schema.Critical)
	events.tell(f, schema.ChangeNew)
	n.Nudge()
	const first = "firing OverreachVolumeLimit bank messaging critical"
	am.tells("it fires", first)
	events.do(f, schema.Acknowledge, time.Time{})
	time.Sleep(5 * time.Millisecond) // of the same moment a telling comes before an act
	events.tell(begun("bank", "photos", schema.Critical), schema.ChangeNew)
	n.Nudge()
	am.eventually("photos page", func() bool {
		return strings.Contains(strings.Join(am.told(), "\n"), "firing OverreachVolumeLimit bank photos critical")
	})
}
