package auth

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// No server of any kind makes a manager wait for longer than five minutes.
func TestRetryAfterIsCapped(t *testing.T) {
	const century = 100 * 365 * 24 * time.Hour
	for _, tt := range []struct {
		name  string
		after func(time.Duration) error
	}{
		{"discovery", func(d time.Duration) error {
			return &discovery.Error{StatusCode: http.StatusServiceUnavailable, RetryAfter: d, Err: errors.New("down")}
		}},
		{"registration", func(d time.Duration) error {
			return &registration.Error{StatusCode: http.StatusTooManyRequests, RetryAfter: d}
		}},
	} {
		for says, want := range map[time.Duration]time.Duration{
			0: 0, time.Minute: time.Minute, 5 * time.Minute: 5 * time.Minute, time.Hour: 5 * time.Minute, century: 5 * time.Minute,
		} {
			if f := failureOf(tt.after(says), nil); f.RetryAfter != want || f.Class != lifecycle.Transient {
				t.Errorf("%s: Retry-After of %v is %v, class %d", tt.name, says, f.RetryAfter, f.Class)
			}
		}
	}
	if got := retryAfter(http.Header{"Retry-After": {"3153600000"}}); got != 5*time.Minute {
		t.Errorf("a token endpoint's Retry-After of a century is %v", got)
	}
}
