package httpx

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestReadBody(t *testing.T) {
	t.Run("whole", func(t *testing.T) {
		want := bytes.Repeat([]byte("x"), MaxBody)
		got, err := ReadBody(bytes.NewReader(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadBody of MaxBody bytes = %d bytes, %v", len(got), err)
		}
	})
	t.Run("one byte too many", func(t *testing.T) {
		got, err := ReadBody(bytes.NewReader(make([]byte, MaxBody+1)))
		if got != nil || !errors.Is(err, ErrTooLarge) {
			t.Errorf("ReadBody = %d bytes, %v, want ErrTooLarge", len(got), err)
		}
	})
	t.Run("endless", func(t *testing.T) {
		if _, err := ReadBody(neverEnding{}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("ReadBody error = %v, want ErrTooLarge", err)
		}
	})
	t.Run("cut off", func(t *testing.T) {
		_, err := ReadBody(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		var transport *TransportError
		if !errors.As(err, &transport) || !transport.Retryable() {
			t.Errorf("ReadBody error = %v, want a temporary *TransportError", err)
		}
	})
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }

func TestIsJSON(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/json":                        true,
		"Application/JSON; charset=UTF-8":         true,
		"application/problem+json":                true,
		"application/json; charset":               true,
		"application/token-introspection+jwt":     false,
		"application/jsonp":                       false,
		"text/json":                               false,
		"text/html; charset=utf-8":                false,
		"image/svg+json":                          false,
		"":                                        false,
		"application/json, application/json; q=1": false,
	} {
		if got := IsJSON(contentType); got != want {
			t.Errorf("IsJSON(%q) = %v, want %v", contentType, got, want)
		}
	}
}

func TestDecodeObject(t *testing.T) {
	type doc struct {
		Issuer string            `json:"issuer"`
		Scopes []string          `json:"scopes_supported"`
		Inner  struct{ N int }   `json:"inner"`
		Values map[string]string `json:"values"`
	}
	tests := []struct {
		name, in string
		want     string // Issuer
		err      string // part of the error
	}{
		{name: "object", in: `{"issuer":"a","other":{"deep":[1]}}`, want: "a"},
		{name: "another spelling does not override", in: `{"issuer":"a","Issuer":"evil","ISSUER":"evil"}`, want: "a"},
		{name: "a member twice", in: `{"issuer":"a","issuer":"a"}`, err: "more than once"},
		{name: "another member twice", in: `{"issuer":"a","other":1,"other":2}`, err: "more than once"},
		{name: "a member twice further down", in: `{"issuer":"a","values":{"x":"1","x":"2"}}`, want: "a"},
		{name: "a foreign name twice", in: `{"issuer":"a","Issuer":"b","Issuer":"c"}`, want: "a"},
		{name: "nested too deep", in: `{"issuer":"a","other":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, err: "not a JSON object"},
		{name: "nor does it stand in", in: `{"Issuer":"evil"}`},
		{name: "nor one that folds to it", in: "{\"i\u017fsuer\":\"evil\"}"},
		{name: "surrounding space", in: " \n{\"issuer\":\"a\"}\n", want: "a"},
		{name: "null member", in: `{"issuer":null}`},
		{name: "wrong type", in: `{"issuer":"a","scopes_supported":"canary"}`, err: "scopes_supported has the wrong JSON type"},
		{name: "wrong type of a number", in: `{"issuer":123456789}`, err: "issuer has the wrong JSON type"},
		{name: "array", in: `[{"issuer":"a"}]`, err: "not a JSON object"},
		{name: "string", in: `"canary"`, err: "not a JSON object"},
		{name: "null", in: `null`, err: "not a JSON object"},
		{name: "empty", in: ``, err: "not a JSON object"},
		{name: "HTML", in: `<html>canary</html>`, err: "not a JSON object"},
		{name: "cut off", in: `{"issuer":"a"`, err: "not a JSON object"},
		{name: "two documents", in: `{"issuer":"a"}{"issuer":"b"}`, err: "not a JSON object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got doc
			err := DecodeObject([]byte(tt.in), &got)
			if tt.err == "" {
				if err != nil || got.Issuer != tt.want {
					t.Errorf("DecodeObject = %q, %v, want %q", got.Issuer, err, tt.want)
				}
				return
			}
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("DecodeObject error = %v, want ErrMalformed with %q", err, tt.err)
			}
			if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "123456789") {
				t.Errorf("the error repeats what the server sent: %v", err)
			}
		})
	}
	t.Run("unreadable value", func(t *testing.T) {
		var got struct {
			At time.Time `json:"at"`
		}
		err := DecodeObject([]byte(`{"at":"canary"}`), &got)
		if !errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), "canary") {
			t.Errorf("DecodeObject error = %v, want ErrMalformed without the value", err)
		}
	})
}

func TestErrorCode(t *testing.T) {
	for code, want := range map[string]string{
		"invalid_grant":         "invalid_grant",
		"temporarily-bad.2":     "",
		"UPPER":                 "",
		"sk_live_51Hx":          "",
		"":                      "",
		"has space":             "",
		"line\nbreak":           "",
		`quote"`:                "",
		"invalid_gränt":         "",
		strings.Repeat("a", 40): strings.Repeat("a", 40),
		strings.Repeat("a", 41): "",
	} {
		if got := ErrorCode(code); got != want {
			t.Errorf("ErrorCode(%q) = %q, want %q", code, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"120":                           2 * time.Minute,
		" 7 ":                           7 * time.Second,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"4294967295":                    math.MaxUint32 * time.Second,
		"99999999999999999999":          math.MaxUint32 * time.Second, // 136 years, not "now"
		"Tue, 28 Jul 2026 12:01:30 GMT": 90 * time.Second,
		"Tue, 28 Jul 2026 11:00:00 GMT": 0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", value, got, want)
		}
	}
	if got := RetryAfter(http.Header{}, now); got != 0 {
		t.Errorf("RetryAfter without header = %v, want 0", got)
	}
}
