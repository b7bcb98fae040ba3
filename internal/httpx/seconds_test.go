package httpx

import (
	"encoding/json"
	"testing"
	"time"
)

func TestSeconds(t *testing.T) {
	for raw, want := range map[string]time.Duration{
		`3600`:       time.Hour,
		`"3600"`:     time.Hour,
		`" 3600 "`:   time.Hour,
		`1.5`:        1500 * time.Millisecond,
		`"0.25"`:     250 * time.Millisecond,
		`1e3`:        1000 * time.Second,
		`1e-9`:       time.Nanosecond,
		`0`:          0,
		`-1`:         0,
		`"-1"`:       0,
		`null`:       0,
		``:           0,
		`""`:         0,
		`"soon"`:     0,
		`"NaN"`:      0,
		`true`:       0,
		`{}`:         0,
		`1e300`:      Longest,
		`1e999`:      Longest,
		`"Infinity"`: Longest,
		`-1e999`:     0,
		`315360001`:  Longest,
	} {
		if got := Seconds(json.RawMessage(raw)); got != want {
			t.Errorf("Seconds(%s) = %v, want %v", raw, got, want)
		}
	}
}
