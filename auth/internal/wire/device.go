package wire

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// DeviceAnswer is a device authorization response (RFC 8628 section 3.2). Its
// codes are secrets, and it prints none of them.
type DeviceAnswer struct {
	// DeviceCode, UserCode and VerificationURI are never empty. Nothing of them
	// was validated.
	DeviceCode, UserCode, VerificationURI string
	// VerificationURIComplete may be empty.
	VerificationURIComplete string
	// Expiry is in wall clock time; zero: not known.
	Expiry time.Time
	// Interval is how long to wait between token requests, at least a second;
	// 0: not known, which means 5 seconds (RFC 8628 section 3.5).
	Interval time.Duration
}

// Format makes every fmt verb print the answer without its codes.
func (d DeviceAnswer) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "wire.DeviceAnswer{}") }

// LogValue implements [slog.LogValuer] without the codes.
func (d DeviceAnswer) LogValue() slog.Value { return slog.StringValue("wire.DeviceAnswer{}") }

// MarshalJSON encodes nothing of the answer: it is not for storing.
func (d DeviceAnswer) MarshalJSON() ([]byte, error) { return []byte(`"wire.DeviceAnswer{}"`), nil }

// ReadDevice reads the body of a device authorization endpoint's answer with a
// status of success, which arrived at now. verification_url is read where
// verification_uri is missing: Google's endpoint is older than the RFC.
//
// The error is a *[RefusedError] if there is no device code but a cause;
// otherwise an *[Error], which is [ErrPage], [ErrNotObject], [ErrAmbiguous] or
// [ErrMember].
func ReadDevice(body []byte, now time.Time) (DeviceAnswer, error) {
	o, err := ReadObject(body, "device_code", "user_code", "verification_uri", "verification_url",
		"verification_uri_complete", "verification_url_complete", "expires_in", "interval", "error")
	if err != nil {
		return DeviceAnswer{}, err
	}
	var d DeviceAnswer
	for _, m := range []struct {
		to     *string
		names  []string
		needed bool
	}{
		{&d.DeviceCode, []string{"device_code"}, true},
		{&d.UserCode, []string{"user_code"}, true},
		{&d.VerificationURI, []string{"verification_uri", "verification_url"}, true},
		{&d.VerificationURIComplete, []string{"verification_uri_complete", "verification_url_complete"}, false},
	} {
		for _, name := range m.names {
			if *m.to == "" {
				*m.to, _ = o.String(name)
			}
		}
		if *m.to != "" || !m.needed {
			continue
		}
		if r := refusalOf(o); r.Named && o.Has("error") {
			return DeviceAnswer{}, &RefusedError{r}
		}
		return DeviceAnswer{}, unusable(m.names[0], "is missing")
	}
	if life := o.Seconds("expires_in"); life > 0 {
		d.Expiry = now.Round(0).Add(life)
	}
	if n, ok := number(o.Raw("interval")); ok && n >= 1 {
		d.Interval = o.Seconds("interval")
	}
	return d, nil
}
