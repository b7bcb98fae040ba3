package external_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/external"
)

// What the source says is shown, but not what a server says in it.
func TestSourceErrors(t *testing.T) {
	retrieve := func(status int, code string) error {
		return &oauth2.RetrieveError{
			Response: &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}},
			Body:     []byte("secret-of-the-cloud"), ErrorCode: code,
		}
	}
	for _, tc := range []struct {
		name      string
		tok       *oauth2.Token
		err       error
		code      string
		status    int
		retryable bool
	}{
		{"some error", nil, errors.New("no metadata server"), "", 0, true},
		{"refused without a code", nil, retrieve(400, ""), "", 400, true},
		{"refused", nil, retrieve(400, "invalid_grant"), "invalid_grant", 400, false},
		{"down", nil, retrieve(503, ""), "", 503, true},
		{"overloaded", nil, retrieve(400, "temporarily_unavailable"), "temporarily_unavailable", 400, true},
		{"no response", nil, &oauth2.RetrieveError{ErrorCode: "secret-of-the-cloud <script>"}, "", 0, true},
		{"nothing", nil, nil, "", 0, false},
		{"empty", &oauth2.Token{}, nil, "", 0, false},
		{"expired", &oauth2.Token{AccessToken: "secret-of-the-cloud", Expiry: time.Unix(1, 0)}, nil, "", 0, true},
		{"not a bearer token", &oauth2.Token{AccessToken: "secret-of-the-cloud", TokenType: "DPoP"}, nil, "", 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := new(cloud)
				c.answers(tc.tok, tc.err)
				src := open(t, c)
				_, err := src.Token(t.Context())
				e := asError[*external.Error](t, err)
				if e.Code != tc.code || e.StatusCode != tc.status || e.Retryable() != tc.retryable || (tc.err != nil && !errors.Is(err, tc.err)) {
					t.Errorf("%+v", e)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error says %s", err)
				}
				if tc.name == "some error" && !strings.Contains(err.Error(), tc.err.Error()) {
					t.Errorf("the error says %s, want what the source said", err)
				}
				for range 100 { // no storm
					if _, again := src.Token(t.Context()); again != err {
						t.Fatalf("again: %v", again)
					}
				}
				if c.count() != 1 {
					t.Errorf("%d questions", c.count())
				}
				c.answers(&oauth2.Token{AccessToken: "a"}, nil)
				// A second, or what the server behind the source asked for.
				if wait := time.Until(e.NextAttempt); wait < max(time.Second, e.RetryAfter) || wait > max(time.Second, e.RetryAfter+time.Second) {
					t.Errorf("the next attempt is in %v; the server asked for %v", wait, e.RetryAfter)
				}
				time.Sleep(time.Until(e.NextAttempt))
				if tok, err := src.Token(t.Context()); err != nil || tok.AccessToken != "a" {
					t.Errorf("at the next attempt: %v, %v", tok, err)
				}
			})
		})
	}

	t.Run("a failure before the expiry costs nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := new(cloud)
			src := open(t, c)
			tok := sourceToken(t, src)
			c.answers(nil, errors.New("down"))
			for time.Until(tok.Expiry) > time.Second {
				time.Sleep(time.Second)
				if got := sourceToken(t, src); got != tok {
					t.Fatalf("%v", got)
				}
			}
			time.Sleep(time.Second)
			asError[*external.Error](t, func() error { _, err := src.Token(t.Context()); return err }())
		})
	})

	t.Run("no source", func(t *testing.T) {
		src := open(t, nil)
		_, err := src.Token(t.Context())
		if e := asError[*auth.ConfigError](t, err); e.Field != "FromTokenSource" {
			t.Errorf("%v", err)
		}
	})

	// There and back again, errors and all.
	t.Run("a manager's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, err := auth.NewManager(auth.Config{Resource: cloudResource})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			src := open(t, m.TokenSource(t.Context()))
			if _, err := src.Token(t.Context()); err != auth.ErrNoToken {
				t.Errorf("%v, want ErrNoToken", err)
			}
		})
	})
}
