package notify

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// handed is a sender that has a plan of these alerts; all else is as at the beginning.
func handed(log *bytes.Buffer, alerts ...*alert) *sender {
	n := reader(oneWebhook, newMemory())
	s := n.senders[0]
	s.log = zerolog.New(log)
	for _, a := range alerts {
		s.plan.alerts = append(s.plan.alerts, view{alert: a})
	}
	return s
}

// over is an alert that began and ended so long ago.
func over(began, ended time.Duration) *alert {
	return &alert{ID: began.String(), labels: labels{Name: "OverreachSurge", Partner: "bank"}, Started: time.Now().Add(-began), Ended: time.Now().Add(-ended)}
}

// became are the outcomes of what a sender has settled, in order.
func (s *sender) became() []string {
	var all []string
	for _, d := range s.unwritten {
		all = append(all, d.Kind+" "+string(d.Outcome)+": "+d.Detail)
	}
	return all
}

func TestWhatIsOverIsGivenUpOnceItIsOlderThanMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := handed(&log, over(maxAge+time.Hour, maxAge))
		s.giveUp()
		same(t, "it ended max_age ago", s.became())
		s = handed(&log, over(maxAge+time.Hour, maxAge+1))
		s.attempts[s.plan.alerts[0].events()[0].id] = 9
		s.giveUp()
		s.giveUp()
		same(t, "it ended before that", s.became(),
			"firing gave up: it was over for longer than alerts.max_age", "resolved gave up: it was over for longer than alerts.max_age")
		const first = `"alert":"25h0m0s","name":"OverreachSurge","partner":"bank","kind":"firing","attempts":9,"detail":"it was over for longer than alerts.max_age","message":"an alert was not delivered: the receiver could not be told in time"`
		if strings.Count(log.String(), "\n") != 2 || !strings.Contains(log.String(), first) {
			t.Errorf("the log says %s", &log)
		}
		sameCounts(t, "deliveries", counts(t, s.metrics.deliveries), map[string]float64{
			"delivered webhook hooks.example": 0, "refused webhook hooks.example": 0, "gave up webhook hooks.example": 2, "overtaken webhook hooks.example": 0,
		})
	})
}

func TestTheBeginningIsGivenUpWhereTheEndWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := handed(&log, over(time.Hour, time.Minute))
		s.giveUp()
		same(t, "neither was", s.became())
		s.settled[s.plan.alerts[0].events()[1].id] = true
		s.giveUp()
		same(t, "the end was", s.became(), "firing gave up: it was over before it could be delivered")
	})
}

func TestASupersededAlertIsOvertakenOnlyWhereNobodyTriedToTellIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		superseded := func() *alert {
			a := over(time.Hour, time.Minute)
			a.Superseded = true
			return a
		}
		s := handed(&log, superseded())
		s.giveUp()
		same(t, "not tried", s.became(), "firing overtaken: ", "resolved overtaken: ")
		s = handed(&log, superseded())
		s.attempts[s.plan.alerts[0].events()[0].id] = 1
		s.giveUp()
		same(t, "tried", s.became())
		s = handed(&log, superseded())
		s.settled[s.plan.alerts[0].events()[0].id] = true
		s.giveUp()
		same(t, "told", s.became())
		s = handed(&log, over(time.Hour, time.Minute))
		s.giveUp()
		same(t, "not superseded", s.became())
		if log.Len() > 0 {
			t.Errorf("it says %s", &log)
		}
	})
}

func TestTheOldestEventThatWasNotDeliveredIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := handed(&log, over(time.Hour, time.Minute), over(3*time.Hour, 2*time.Hour), over(2*time.Hour, time.Hour))
		f := func(what string, want time.Duration) {
			t.Helper()
			if got := s.oldest(); got != want {
				t.Errorf("%s: got %v, want %v", what, got, want)
			}
		}
		f("of all", 3*time.Hour)
		s.settled[s.plan.alerts[1].events()[0].id] = true
		f("of those that are not delivered", 2*time.Hour)
		id := s.plan.alerts[1].events()[1].id
		s.plan.settled = map[string]map[string]schema.Outcome{s.name: {id: schema.Delivered}, "another": {s.plan.alerts[0].events()[0].id: schema.Delivered}}
		f("and of which nobody else knows", 2*time.Hour)
		s.plan.alerts = s.plan.alerts[:1]
		f("what another receiver heard of counts", time.Hour)
	})
}

func TestWhatThePlanNoLongerHoldsIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := handed(&log, over(time.Hour, time.Minute))
		e := s.plan.alerts[0].events()
		s.settled = map[string]bool{e[0].id: true, "gone": true}
		s.attempts = map[string]uint32{e[1].id: 7, "gone": 9}
		s.forget()
		if len(s.settled) != 1 || !s.settled[e[0].id] || len(s.attempts) != 1 || s.attempts[e[1].id] != 7 {
			t.Errorf("it knows of %v and %v", s.settled, s.attempts)
		}
	})
}

func TestAWebhookIsToldEachThatJoinedAndThenTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := over(time.Hour, time.Minute)
		a.Grown = []time.Time{a.Started.Add(time.Minute), a.Started.Add(2 * time.Minute)}
		s, receiver := handed(&log, a), &far{}
		s.client.Transport = receiver
		if wait := s.pass(t.Context()); wait != 0 {
			t.Errorf("it is to be tried again in %v", wait)
		}
		same(t, "told", receiver.kinds(), "firing bank", "joined bank", "joined bank", "resolved bank")
		if at := receiver.bodies()[2].At; !at.Equal(a.Grown[1]) {
			t.Errorf("the second joined at %v, want %v", at, a.Grown[1])
		}
	})
}
