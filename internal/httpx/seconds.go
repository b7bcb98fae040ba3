package httpx

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Longest is the longest that Seconds returns: ten years. It keeps a wild number within what
// a time.Time can do.
const Longest = 10 * 365 * 24 * time.Hour

// Seconds reads a number of seconds, such as expires_in (RFC 6749 section 5.1) and interval (RFC
// 8628 section 3.2). Servers send it as a number, also with a fraction, or either as a string. It
// returns 0 when nothing usable was sent, or a number that is not positive. A lifetime that is
// over already is not taken literally: it would mean a token request for every call.
func Seconds(raw json.RawMessage) time.Duration {
	s := strings.Trim(strings.TrimSpace(string(raw)), `"`)
	secs, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if (err != nil && !errors.Is(err, strconv.ErrRange)) || math.IsNaN(secs) || secs <= 0 {
		return 0
	}
	if secs >= Longest.Seconds() {
		return Longest
	}
	return time.Duration(secs * float64(time.Second))
}
