package httpx

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzRetryAfter checks that no Retry-After leads to a negative wait, and that
// what is written out in whole seconds is read as it was meant.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{
		"", "0", "120", "-1", "1.5", "+3", " 7 ", "4294967296", strings.Repeat("9", 400), "0x10", "1e3",
		"Tue, 28 Jul 2026 12:01:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"Fri, 31 Dec 9999 23:59:59 GMT", "soon", "\x00", "1\r\n2",
	} {
		f.Add(seed, uint32(len(seed)))
	}
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string, seconds uint32) {
		if d := RetryAfter(http.Header{"Retry-After": {value}}, now); d < 0 {
			t.Errorf("RetryAfter(%q) = %v", value, d)
		}
		want := time.Duration(seconds) * time.Second
		date := now.Add(want).Format(http.TimeFormat)
		if d := RetryAfter(http.Header{"Retry-After": {date}}, now); d != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", date, d, want)
		}
	})
}
