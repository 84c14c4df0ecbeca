package notify_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/overreach/overreach/notify"
	"github.com/overreach/overreach/schema"
)

func TestAChangeIsOneLineWithTheSentence(t *testing.T) {
	for change, level := range map[schema.ChangeKind]string{
		schema.ChangeNew: "warn", schema.ChangeRaised: "warn", schema.ChangeEnded: "info", schema.ChangeWithdrawn: "info",
	} {
		var out bytes.Buffer
		notify.Log(zerolog.New(&out), []schema.FindingChange{{Kind: change, Finding: schema.Finding{
			FindingKey: schema.FindingKey{Detector: "stale_access", Partner: "a \"hostile\"\nname"},
			Sentence:   "it still reads messages.", People: schema.Estimate{Value: 7}, FirstCrossing: time.Unix(60, 0).UTC(),
		}}})
		if bytes.Count(out.Bytes(), []byte("\n")) != 1 {
			t.Errorf("%s is not one line: %q", change, out.String())
		}
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line["level"] != level || line["message"] != "it still reads messages." || line["people"] != 7.0 || line["change"] != string(change) {
			t.Errorf("%s is told as %v", change, line)
		}
	}
}
