package story

import (
	"encoding/json"
	"iter"
	"strconv"
	"time"

	"github.com/overreach/overreach/schema"
)

// AppendJSON appends the event as one JSON object without a line break, the way
// events are sent to Kafka. Members that the event does not have are left out.
// Bytes that are not UTF-8 become U+FFFD.
func AppendJSON(b []byte, e *schema.Event) []byte {
	b = append(b, `{"time":"`...)
	b = time.UnixMilli(e.Time).UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	b = appendText(b, `,"id":`, e.ID)
	b = appendText(b, `,"partner":`, e.Partner)
	b = appendText(b, `,"app":`, e.App)
	b = appendText(b, `,"capability":`, e.Capability)
	b = append(b, `,"action":"`...)
	b = append(b, e.Action.String()...)
	b = append(b, '"')
	b = appendText(b, `,"subject":`, e.Subject)
	b = appendText(b, `,"actor":`, e.Actor)
	b = appendNumber(b, `,"status":`, int64(e.Status))
	b = appendNumber(b, `,"records":`, e.Records)
	b = appendNumber(b, `,"bytes":`, e.Bytes)
	b = appendText(b, `,"api_version":`, e.APIVersion)
	b = appendText(b, `,"grant":`, e.Grant)
	return append(b, '}')
}

func appendNumber(b []byte, member string, v int64) []byte {
	if v == 0 {
		return b
	}
	return strconv.AppendInt(append(b, member...), v, 10)
}

func appendText(b []byte, member string, text []byte) []byte {
	if len(text) == 0 {
		return b
	}
	b = append(b, member...)
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c > '~' {
			quoted, err := json.Marshal(string(text))
			if err != nil {
				panic(err) // a string always has a JSON form
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// Lines yields the story's events as lines of JSON, in the form in which lines
// are replayed. A line is valid until the next one; the error is always nil. cfg
// must be valid.
func Lines(cfg Config) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var line []byte
		for e := range cfg.Events() {
			if line = AppendJSON(line[:0], e); !yield(line, nil) {
				return
			}
		}
	}
}
