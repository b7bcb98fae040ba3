package wire

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// Longest is the longest time that Seconds returns. It keeps a wild
	// number within what a time.Time can do.
	Longest = 10 * 365 * 24 * time.Hour

	maxTime  = 253402300799 // the end of the year 9999, the last that JSON can store
	minMilli = 1e11         // seconds in the year 5138, milliseconds in 1973
)

// Seconds returns a member that is a span of time in seconds, such as
// expires_in: a number, also with a fraction, or either as a string. 0 means
// that it is not known: absent, zero, negative, or not a number, as false and
// dates. Above zero it is at least a second and at most [Longest].
//
// Milliseconds are not guessed at: 3600000 is a month and a half as well, and a
// server that means an hour answers the late token with 401.
func (o Object) Seconds(name string) time.Duration {
	n, ok := number(o.Raw(name))
	switch {
	case !ok || n <= 0:
		return 0
	case n < 1:
		return time.Second
	case n >= Longest.Seconds():
		return Longest
	}
	return time.Duration(n * float64(time.Second))
}

// Time returns a member that is a point in time after now, such as
// client_secret_expires_at: seconds since 1970 or, above 1e11, milliseconds, as
// a number or a string; or a date of RFC 3339, which may lack its zone (UTC)
// and its time. It is in UTC. The zero time means never: absent, 0, "", "0", -1, false, and
// any time that is over, as nobody hands out what is dead already. Anything
// else is never and an *[Error].
func (o Object) Time(name string, now time.Time) (time.Time, error) {
	raw := o.Raw(name)
	if n, ok := number(raw); ok {
		if n > minMilli {
			n /= 1000
		}
		if n > maxTime {
			return time.Time{}, unusable(name, "is beyond the year 9999")
		}
		if n <= 0 {
			return time.Time{}, nil
		}
		return later(time.Unix(int64(n), 0).UTC(), now), nil
	}
	s, isText := text(raw)
	switch s = strings.TrimSpace(s); {
	case raw == nil, string(raw) == "false", isText && (s == "" || strings.EqualFold(s, "false") || strings.EqualFold(s, "never")):
		return time.Time{}, nil
	case isText:
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, "2006-01-02 15:04:05Z07:00", time.DateOnly} {
			if t, err := time.Parse(layout, s); err == nil && t.Unix() <= maxTime {
				return later(t.UTC(), now), nil
			}
		}
	}
	return time.Time{}, unusable(name, "is not a time")
}

func later(t, now time.Time) time.Time {
	if !t.After(now) {
		return time.Time{}
	}
	return t
}

// number reads a decimal number, as it is or in a string. What is too large is
// infinite.
func number(raw json.RawMessage) (float64, bool) {
	s, ok := text(raw)
	s = strings.TrimSpace(s)
	// ParseFloat also takes hexadecimal, underscores, Inf and NaN.
	if !ok || s == "" || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(n, 0) {
		return 0, false
	}
	return n, true
}
