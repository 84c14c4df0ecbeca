package judge

import (
	"testing"
	"time"
)

func TestTheJudgeStandsStillWhereItsRoundsFailOrNoneEnds(t *testing.T) {
	var j Judge
	is := func(when, want string) {
		t.Helper()
		got := ""
		for _, s := range j.Stalls() {
			got += s.What + ": " + s.Why
		}
		if got != want {
			t.Errorf("%s it says %q, want %q", when, got, want)
		}
	}
	is("before it runs", "")
	j.health.works()
	is("after a round", "")
	j.health.ended = time.Now().Add(-roundWithin - time.Second)
	is("with a round that hangs", "judge: no round has ended since")
	j.health.moves()
	is("amid a long pass whose other rounds end", "")
	if !j.health.fails() || j.health.fails() {
		t.Error("only the first failure is news")
	}
	j.health.moves()
	is("where rounds fail", "judge: its rounds fail; the log says why")
	since := j.health.failing
	j.health.fails()
	if got := j.Stalls()[0].Since; !got.Equal(since) {
		t.Errorf("it stands still since %v, not since %v", got, since)
	}
	if j.health.idles() {
		t.Error("a round without slots just after one that failed ends the failure")
	}
	is("between two generations", "judge: its rounds fail; the log says why")
	if !j.health.works() || j.health.works() {
		t.Error("only the first round that works again is news")
	}
	is("where they work again", "")
	j.health.fails()
	j.health.idles()
	j.health.idle = time.Now().Add(-sharedOut)
	if !j.health.idles() {
		t.Error("an instance that has come to stand by still fails")
	}
	is("where it has come to stand by", "")
}
