package httpx

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// roundTrip is an http.RoundTripper, so that tests can use any host name.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// redirecting answers requests to from with a redirect to to, others with 200, and notes the
// URLs it was asked for.
func redirecting(from, to string, seen *[]string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		*seen = append(*seen, r.URL.String())
		rec := httptest.NewRecorder()
		if r.URL.String() == from {
			rec.Header().Set("Location", to)
			rec.WriteHeader(http.StatusTemporaryRedirect)
		}
		resp := rec.Result()
		resp.Request = r
		return resp, nil
	}
}

func TestSameOriginRedirect(t *testing.T) {
	tests := []struct {
		name, from, to string
		follow         bool
	}{
		{"same origin", "https://h/a", "https://h/b", true},
		{"relative", "https://h/a", "/b", true},
		{"default port", "https://h/a", "https://H:443/b", true},
		{"other host", "https://h/a", "https://evil.example/b?canary", false},
		{"other port", "https://h/a", "https://h:8443/b?canary", false},
		{"https to http", "https://h/a", "http://h/b?canary", false},
		{"http to https", "http://localhost/a", "https://localhost/b?canary", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen []string
			c := SameOriginRedirect(&http.Client{Transport: redirecting(tt.from, tt.to, &seen)})
			resp, err := c.Get(tt.from)
			if tt.follow {
				if err != nil || resp.StatusCode != http.StatusOK || len(seen) != 2 {
					t.Errorf("Get = %v, %v after %q, want the target", resp, err, seen)
				}
				return
			}
			if !errors.Is(err, ErrRedirect) || len(seen) != 1 {
				t.Errorf("Get error = %v after %q, want ErrRedirect after one request", err, seen)
			}
			transport := NewTransportError(err)
			if transport.Retryable() || strings.Contains(transport.Error(), "canary") {
				t.Errorf("error %q: want permanent and without the query", transport)
			}
		})
	}
}

func TestSameOriginRedirectLimit(t *testing.T) {
	for redirects, wantErr := range map[int]bool{5: false, 6: true} {
		requests := 0
		c := SameOriginRedirect(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			requests++
			rec := httptest.NewRecorder()
			if requests <= redirects {
				rec.Header().Set("Location", "/"+strconv.Itoa(requests))
				rec.WriteHeader(http.StatusFound)
			}
			return rec.Result(), nil
		})})
		_, err := c.Get("https://h/0")
		if errors.Is(err, ErrRedirect) != wantErr {
			t.Errorf("%d redirects: error = %v, want ErrRedirect: %v", redirects, err, wantErr)
		}
		if requests != 6 {
			t.Errorf("%d redirects: %d requests, want 6", redirects, requests)
		}
	}
}

func TestSameOriginRedirectAsksInner(t *testing.T) {
	var seen []string
	own := errors.New("not today")
	c := SameOriginRedirect(&http.Client{
		Transport:     redirecting("https://h/a", "/b", &seen),
		CheckRedirect: func(*http.Request, []*http.Request) error { return own },
	})
	if _, err := c.Get("https://h/a"); !errors.Is(err, own) {
		t.Errorf("Get error = %v, want that of the client's own CheckRedirect", err)
	}
}

func TestNoRedirect(t *testing.T) {
	var seen []string
	given := &http.Client{Transport: redirecting("https://h/a", "/b", &seen), Timeout: time.Minute}
	resp, err := NoRedirect(given).Post("https://h/a", "text/plain", strings.NewReader("secret"))
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect || len(seen) != 1 {
		t.Errorf("Post = %v, %v after %q, want the 307 itself", resp, err, seen)
	}
	if given.CheckRedirect != nil {
		t.Error("the given client was changed")
	}
}

func TestNilClient(t *testing.T) {
	for name, c := range map[string]*http.Client{"NoRedirect": NoRedirect(nil), "SameOriginRedirect": SameOriginRedirect(nil)} {
		if c.Timeout != 30*time.Second || c.CheckRedirect == nil {
			t.Errorf("%s(nil): timeout %v, CheckRedirect set: %v", name, c.Timeout, c.CheckRedirect != nil)
		}
	}
	if http.DefaultClient.CheckRedirect != nil || http.DefaultClient.Timeout != 0 {
		t.Error("http.DefaultClient was changed")
	}
}
