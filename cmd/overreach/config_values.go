package main

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overreach/overreach/decode"
	"github.com/overreach/overreach/schema"
)

// Duration is a time.Duration that may also be written in days: 90d, 1d12h.
type Duration time.Duration

const dayLong = 24 * time.Hour

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(text []byte) error {
	wrong := fmt.Errorf("%q is no duration: expected a number with a unit, as in 90d, 1d12h, 15m, 2s, 500ms", text)
	rest, whole := string(text), time.Duration(0)
	if days, after, found := strings.Cut(rest, "d"); found {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > uint64(math.MaxInt64/dayLong) {
			return wrong
		}
		rest, whole = after, time.Duration(n)*dayLong
		if rest == "" {
			*d = Duration(whole)
			return nil
		}
	}
	part, err := time.ParseDuration(rest)
	if err != nil || part < 0 || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") || part > math.MaxInt64-whole {
		return wrong
	}
	*d = Duration(whole + part)
	return nil
}

// String writes the duration as UnmarshalText reads it, without empty parts.
func (d Duration) String() string {
	days, rest := time.Duration(d)/dayLong, time.Duration(d)%dayLong
	text := ""
	if days > 0 {
		text = strconv.FormatInt(int64(days), 10) + "d"
		if rest == 0 {
			return text
		}
	}
	part := rest.String()
	if strings.HasSuffix(part, "m0s") {
		part = strings.TrimSuffix(part, "0s")
	}
	if strings.HasSuffix(part, "h0m") {
		part = strings.TrimSuffix(part, "0m")
	}
	return text + part
}

// Date is a UTC day of a setting.
type Date schema.Day

// UnmarshalText reads a day written as 2006-01-02, after 1970-01-01.
func (d *Date) UnmarshalText(text []byte) error {
	day, err := schema.ParseDay(string(text))
	if err != nil {
		return err
	}
	if day < 1 {
		return fmt.Errorf("the day %s is out of range: expected 1970-01-02 or later", text)
	}
	*d = Date(day)
	return nil
}

// String writes the day as UnmarshalText reads it.
func (d Date) String() string { return schema.Day(d).String() }

// Start says where a group without offsets begins: At is earliest, latest or
// since, and empty where nothing was said; Since is the time for the last.
type Start struct {
	At    string
	Since time.Time
}

// UnmarshalText reads a start.
func (s *Start) UnmarshalText(text []byte) error {
	at, since, timed := strings.Cut(string(text), ":")
	switch {
	case (at == "earliest" || at == "latest") && !timed:
		*s = Start{At: at}
		return nil
	case at == "since" && timed:
		t, err := time.Parse(time.RFC3339, strings.TrimSpace(since))
		if err == nil {
			*s = Start{At: at, Since: t.UTC()}
			return nil
		}
	}
	return fmt.Errorf("%q is no start: expected earliest, latest, or since: with a time as in since:2018-11-05T00:00:00Z", text)
}

// String writes the start as UnmarshalText reads it.
func (s Start) String() string {
	if s.At == "since" {
		return "since:" + s.Since.Format(time.RFC3339)
	}
	return s.At
}

// FilePath is the path of a file. In a configuration file it is meant from the
// folder of that file, elsewhere from the working directory.
type FilePath string

func (p *FilePath) from(folder string) {
	if *p != "" && folder != "." && !filepath.IsAbs(string(*p)) {
		*p = FilePath(filepath.Join(folder, string(*p)))
	}
}

// Mapping is the name of a mapping that comes with overreach, or the path of a
// file as FilePath is one.
type Mapping string

func (m *Mapping) from(folder string) {
	if !slices.Contains(decode.Mappings(), string(*m)) {
		(*FilePath)(m).from(folder)
	}
}

// Secret is a text that is never printed.
type Secret string

// String hides the secret; string(s) is the secret itself.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { //nolint:unparam // encoding.TextMarshaler has an error
	return []byte(s.String()), nil
}
