package notify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/schema"
	"github.com/overreach/overreach/store"
)

const long = time.Hour // longer than a test

func TestAlertmanagerNotifiesOnceRepeatsAfterItsTimeAndResolves(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, 5*time.Second, ""), newMemory()
	n, _ := running(t, am.config(), events, nil)
	f := begun("bank", "messaging", schema.Critical)
	events.tell(f, schema.ChangeNew)
	n.Nudge()
	const fires, ends = "firing OverreachVolumeLimit bank messaging critical", "resolved OverreachVolumeLimit bank messaging critical"
	am.tells("sent again and again it is one notification", fires)
	am.eventually("it is repeated after repeat_interval", func() bool { return len(am.told()) == 2 })
	events.tell(f, schema.ChangeEnded)
	n.Nudge()
	am.tells("it ends", fires, fires, ends)

	said := am.annotations("firing", "bank")
	for name, part := range map[string]string{
		"summary": "bank touched 2,000 people in messaging", "description": shortID(f.ID()) + " critical: bank touched",
		"people": "2000 (1950 to 2050)", "owner": "platform", "runbook": "https://git.example/overreach/docs/detectors/volume_limit.md",
		"query": f.Query, "findings": f.ID(), "complete": "no: 7 records missing", "blind_spots": "several ids",
		"acknowledge": "overreach ack " + shortID(f.ID()) + ` --reason "…"`,
	} {
		if !strings.Contains(said[name], part) {
			t.Errorf("annotation %s is %q, want %q in it", name, said[name], part)
		}
	}
	if because := am.annotations("resolved", "bank")["ended_because"]; because != "ended" {
		t.Errorf("it ended because %q", because)
	}
}

func TestWhatIsSilencedInAlertmanagerIsHeldThereAndNotNotified(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	am.silence("bank")
	n, _ := running(t, am.config(), events, nil)
	events.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
	events.tell(begun("shop", "messaging", schema.Critical), schema.ChangeNew)
	n.Nudge()
	am.tells("only the other", "firing OverreachVolumeLimit shop messaging critical")
	if states := am.states(); states["bank"] != "suppressed" || states["shop"] != "active" {
		t.Errorf("alertmanager holds %v", states)
	}
}

// TestARestartNeitherResolvesNorRepeats runs on the real engine with the real
// tables: what the first instance sent, the second knows.
func TestARestartNeitherResolvesNorRepeats(t *testing.T) {
	am := startReal(t, long, "")
	address, _ := embeddedtest.Engine(t)
	cfg := store.Config{Addresses: []string{address}, Database: "overreach", Username: "default", Password: embeddedtest.Password}
	if err := store.CreateDatabase(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	hook := &far{}
	both := am.config()
	both.Webhooks = []Webhook{{URL: "http://hooks.example", Secret: "s"}}
	aside := func(n *Notifier) { n.senders[1].client.Transport = hook }

	offsets := uint64(0)
	write := func(f schema.Finding, change schema.ChangeKind) {
		t.Helper()
		if change == schema.ChangeEnded {
			f.State, f.EndedAt = schema.Ended, time.Now().UTC()
		}
		offsets++
		v := schema.Version{Offsets: offsets}
		if err := st.WriteFindings(t.Context(), []schema.Finding{f}, v); err != nil {
			t.Fatal(err)
		}
		if err := st.WriteChanges(t.Context(), []schema.FindingChange{{Reported: time.Now().UTC(), After: time.Now(), Kind: change, Finding: f, Version: v}}); err != nil {
			t.Fatal(err)
		}
	}
	f, g := begun("bank", "messaging", schema.Critical), begun("shop", "friends", schema.Critical)
	write(f, schema.ChangeNew)
	write(g, schema.ChangeNew)
	_, stop := running(t, both, st, aside)
	const bank, shop = "OverreachVolumeLimit bank messaging critical", "OverreachVolumeLimit shop friends critical"
	am.eventually("both fire", func() bool { return len(am.told()) == 2 })
	fired := len(am.told())
	stop()
	write(f, schema.ChangeEnded) // while nobody runs
	time.Sleep(time.Second)
	if told := am.told(); len(told) != fired {
		t.Errorf("when it stopped, alertmanager told %q", told[fired:])
	}
	n, _ := running(t, both, st, aside)
	am.eventually("what ended meanwhile is resolved", func() bool { return len(am.told()) == fired+1 })
	if err := st.WriteAction(t.Context(), schema.FindingAction{
		Finding: g.ID(), At: time.Now().UTC(), Act: schema.Silence, Who: "ann", Reason: "agreed", Until: time.Now().Add(time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	n.Nudge()
	am.eventually("what is silenced is resolved", func() bool { return len(am.told()) == fired+2 })
	time.Sleep(time.Second)
	same(t, "nothing else", am.told()[fired:], "resolved "+bank, "resolved "+shop)
	if because := am.annotations("resolved", "shop")["ended_because"]; !strings.Contains(because, "silenced by ann until ") || !strings.Contains(because, "agreed") {
		t.Errorf("it ended because %q", because)
	}
	same(t, "the webhook", hook.kinds(), "firing bank", "firing shop", "resolved bank", "resolved shop")
}

func TestAnAlertmanagerThatWasAwayIsToldWhatFiresAndWhatEnded(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	am.stop()
	n, _ := running(t, am.config(), events, nil)
	f := begun("bank", "messaging", schema.Critical)
	events.tell(f, schema.ChangeNew)
	n.Nudge()
	time.Sleep(time.Second)
	am.start()
	const fires = "firing OverreachVolumeLimit bank messaging critical"
	am.tells("when it is there", fires)
	am.stop()
	events.tell(f, schema.ChangeEnded)
	n.Nudge()
	time.Sleep(500 * time.Millisecond)
	am.start()
	am.tells("when it is back", fires, "resolved OverreachVolumeLimit bank messaging critical")
	same(t, "deliveries", events.outcomes(), "firing delivered", "resolved delivered")
}

func TestAWarningThatBecomesCriticalIsNotifiedAsCriticalAndResolvedAsWarning(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	n, _ := running(t, am.config(), events, nil)
	f := begun("bank", "messaging", schema.Warning)
	events.tell(f, schema.ChangeNew)
	n.Nudge()
	am.tells("as a warning", "firing OverreachVolumeLimit bank messaging warning")
	f.Severity = schema.Critical
	events.tell(f, schema.ChangeRaised)
	n.Nudge()
	am.eventually("both are told", func() bool {
		all := strings.Join(am.told(), "\n")
		return strings.Contains(all, "firing OverreachVolumeLimit bank messaging critical") && strings.Contains(all, "resolved OverreachVolumeLimit bank messaging warning")
	})
	if because := am.annotations("resolved", "bank")["ended_because"]; !strings.HasPrefix(because, "superseded by alert ") {
		t.Errorf("the warning ended because %q", because)
	}
}

func TestFindingsOfAPartnerAtTheSameTimeAreOneNotificationThatCountsThem(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	n, _ := running(t, am.config(), events, nil)
	events.tell(begun("bank", "messaging", schema.Critical), schema.ChangeNew)
	for _, capability := range []string{"friends", "contacts", "photos"} {
		events.tell(begun("bank", capability, schema.Warning), schema.ChangeNew)
	}
	n.Nudge()
	am.tells("one alert", "firing OverreachVolumeLimit bank messaging critical")
	said := am.annotations("firing", "bank")
	if said["held_back"] != "3" || strings.Count(said["description"], "\n") != 3 {
		t.Errorf("held back %q in %q", said["held_back"], said["description"])
	}
}

func TestWhatIsOldIsADigestAndNoPage(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	cfg := am.config()
	cfg.Group = 500 * time.Millisecond
	n, _ := running(t, cfg, events, nil)
	for _, capability := range []string{"friends", "contacts"} {
		f := begun("bank", capability, schema.Critical)
		f.FirstCrossing, f.LastSeen = f.FirstCrossing.AddDate(0, 0, -2), f.LastSeen.AddDate(0, 0, -2)
		events.tell(f, schema.ChangeNew)
	}
	n.Nudge()
	am.tells("a digest", "firing OverreachDigest bank  info")
	if said := am.annotations("firing", "bank"); !strings.Contains(said["summary"], "2 findings") || strings.Count(said["description"], "\n") != 1 {
		t.Errorf("the digest says %q", said)
	}
}

func TestASilenceHereResolvesThereAndFiresAgainWhenItIsOver(t *testing.T) {
	t.Parallel()
	am, events := startReal(t, long, ""), newMemory()
	n, _ := running(t, am.config(), events, nil)
	f := begun("bank", "messaging", schema.Critical)
	events.tell(f, schema.ChangeNew)
	n.Nudge()
	const fires, ends = "firing OverreachVolumeLimit bank messaging critical", "resolved OverreachVolumeLimit bank messaging critical"
	am.tells("it fires", fires)
	events.do(f, schema.Silence, time.Now().Add(2*time.Second))
	n.Nudge()
	am.tells("it is silenced", fires, ends)
	am.tells("the silence is over", fires, ends, fires)
}

func TestTheTestAlertArrivesAndSaysThatItIsATest(t *testing.T) {
	t.Parallel()
	am := startReal(t, long, "")
	results := SendTest(t.Context(), Config{Alertmanagers: []Alertmanager{{URL: "http://" + am.address}, {URL: "http://user:hunter2@127.0.0.1:1/?token=hunter3"}}})
	am.tells("the test", "firing OverreachTest overreach-test  info")
	if len(results) != 2 || results[0].Err != nil || results[0].Receiver != "alertmanager "+am.address {
		t.Errorf("results: %v", results)
	}
	if err := results[1].Err; err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("the receiver that is not there: %v", err)
	}
	if said := am.annotations("firing", "overreach-test"); !strings.Contains(said["summary"], "test") || len(said) != 2 {
		t.Errorf("it says %q, want its id and summary alone", said)
	}
}

// hostile are names that a partner might give itself.
var hostile = []string{
	`"quotes' and \ backslash`,
	`<script>alert(1)</script><img src=x onerror=alert(1)>`,
	`{{ template "slack.default.title" . }}{{ .ExternalURL }}`,
	"two\nlines\r\nand a\ttab\x00",
	`<!channel> <@U123> <https://evil.example|your runbook>`,
	strings.Repeat("long", 2500),
	"invalid \xff\xfe utf-8",
	"right\u202eotf-ot-thgir",
	"",
}

func TestAlertmanagersOwnTemplatesRenderHostileNames(t *testing.T) {
	t.Parallel()
	am := startReal(t, long, `
    slack_configs:
      - api_url: HOOK/slack
        channel: '#oncall'
        title: '{{ template "slack.default.title" . }}'
        text: '{{ range .Alerts }}{{ .Annotations.summary }} {{ .Annotations.description }} {{ .Annotations.query }}{{ end }}'
    pagerduty_configs:
      - url: HOOK/pagerduty
        routing_key: none
`)
	events := newMemory()
	n, _ := running(t, am.config(), events, nil)
	for _, name := range hostile {
		events.tell(begun(name, name, schema.Critical), schema.ChangeNew)
	}
	n.Nudge()
	am.eventually("each is told by each receiver", func() bool {
		am.mu.Lock()
		defer am.mu.Unlock()
		return len(am.got) >= 3*len(hostile)
	})
	time.Sleep(time.Second)
	am.mu.Lock()
	defer am.mu.Unlock()
	if len(am.got) != 3*len(hostile) {
		t.Errorf("%d notifications, want one by each receiver of each of %d names", len(am.got), len(hostile))
	}
	partners := map[string]bool{}
	none := filepath.Join(t.TempDir(), "none.tmpl") // amtool wants a file beside Alertmanager's own
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, got := range am.got {
		kind, _, _ := strings.Cut(got.Status, " ")
		if kind != "webhook" {
			var any map[string]any
			if err := json.Unmarshal(got.raw, &any); err != nil {
				t.Errorf("%s does not get JSON: %v", kind, err)
				continue
			}
			decoded := strings.Join(texts(any), "\n")
			for _, bad := range []string{"<!channel>", "<@U123>", "<https://evil", "<script", "\u202e", "\x00", "\r"} {
				if strings.Contains(decoded, bad) {
					t.Errorf("%s is told %q: %.300q", kind, bad, decoded)
				}
			}
			continue
		}
		for _, a := range got.Alerts {
			partners[a.Labels["partner"]] = true
			for name, text := range a.Annotations {
				if !utf8.ValidString(text) || len(text) > 2*longestLine*shownEpisodes {
					t.Errorf("annotation %s has %d bytes, or is not UTF-8", name, len(text))
				}
			}
		}
		data := filepath.Join(t.TempDir(), "data.json")
		if err := os.WriteFile(data, got.raw, 0o600); err != nil {
			t.Fatal(err)
		}
		page := amtool(t, "template", "render", "--template.glob="+none, "--template.type=html", "--template.data="+data, `--template.text={{ template "email.default.html" . }}`)
		for _, bad := range []string{"<script>alert", "onerror=alert(1)>", "\u202e", "\x00"} {
			if strings.Contains(page, bad) {
				t.Errorf("the mail holds %q", bad)
			}
		}
		if !strings.Contains(page, "2,000 people") {
			t.Errorf("the mail does not say what happened: %.2000s", page)
		}
		subject := amtool(t, "template", "render", "--template.glob="+none, "--template.data="+data, `--template.text={{ template "email.default.subject" . }}`)
		if strings.Count(strings.TrimSpace(subject), "\n") > 0 || len(subject) > 1000 {
			t.Errorf("the subject is %q", subject)
		}
	}
	if len(partners) != len(hostile) {
		t.Errorf("%d names of partners arrived, want %d: %v", len(partners), len(hostile), partners)
	}
}

// texts are all strings in a JSON document.
func texts(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case []any:
		for _, e := range v {
			all = append(all, texts(e)...)
		}
	case map[string]any:
		for k, e := range v {
			all = append(append(all, k), texts(e)...)
		}
	}
	return all
}
