// Package notify notifies people of changes of findings.
package notify

import (
	"github.com/rs/zerolog"

	"github.com/overreach/overreach/schema"
)

// Log writes one readable line for each change: a warning for what is new,
// continued, raised or reopened, a plain line for what ended or was withdrawn.
// No line holds a user id.
func Log(log zerolog.Logger, changes []schema.FindingChange) {
	for _, c := range changes {
		f := &c.Finding
		line := log.Warn()
		if c.Kind == schema.ChangeEnded || c.Kind == schema.ChangeWithdrawn {
			line = log.Info()
		}
		line.Str("finding", f.ID()).
			Str("detector", f.Detector).
			Str("partner", f.Partner).
			Str("severity", string(f.Severity)).
			Str("change", string(c.Kind)).
			Uint64("people", f.People.Value).
			Time("first_crossing", f.FirstCrossing).
			Bool("complete", f.Complete).
			Msg(f.Sentence)
	}
}
