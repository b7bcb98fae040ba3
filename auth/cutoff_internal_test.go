package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
	"github.com/mcptokens/mcptokens/auth/internal/tracing"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// The end of an operation cuts its last attempt off at a random moment. The caller
// hears what the server said before that, unless the attempt changed more.
func TestErrorOfAnOperationThatWasCutOff(t *testing.T) {
	timedOut := func(ctx context.Context) error {
		<-ctx.Done()
		return httpx.NewTransportError(context.Cause(ctx))
	}
	for name, tc := range map[string]struct {
		last func(ctx context.Context) error
		want func(error) bool
	}{
		"timed out": {timedOut, isBusy},
		"not sent in time": {func(ctx context.Context) error {
			<-ctx.Done()
			return &TokenError{Err: errOverdue, class: lifecycle.Transient}
		}, isBusy},
		"sent, and no answer": {func(ctx context.Context) error {
			return &TokenError{Err: timedOut(ctx), class: lifecycle.Ambiguous}
		}, func(err error) bool { return failureOf(err, nil).Class == lifecycle.Ambiguous }},
		"answered in the last moment": {func(ctx context.Context) error {
			<-ctx.Done()
			return &TokenError{StatusCode: http.StatusBadGateway, class: lifecycle.Transient}
		}, func(err error) bool {
			var te *TokenError
			return errors.As(err, &te) && te.StatusCode == http.StatusBadGateway
		}},
		"refused by then": {func(ctx context.Context) error {
			<-ctx.Done()
			return &TokenError{Code: "invalid_grant", class: lifecycle.RefusedRequest}
		}, func(err error) bool { return failureOf(err, nil).Class == lifecycle.RefusedToken }},
		"a timeout of its own": {func(context.Context) error {
			return httpx.NewTransportError(context.DeadlineExceeded)
		}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) && !isBusy(err) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				tries, err := retry(ctx, tracing.New(nil, nil), 0, func(ctx context.Context) error {
					if left, _ := ctx.Deadline(); time.Until(left) == time.Second {
						return &TokenError{StatusCode: http.StatusServiceUnavailable, class: lifecycle.Throttled}
					}
					return tc.last(ctx)
				})
				if tries < 2 || !tc.want(err) {
					t.Errorf("after %d tries: %v", tries, err)
				}
			})
		})
	}
}

// What ended a request is said as it is, also where the transport knows only that
// its context ended: time that is over comes back, and what the caller canceled
// does not.
func TestWhyARequestEnded(t *testing.T) {
	waits := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
	for _, grant := range []string{"refresh_token", "authorization_code", "client_credentials"} {
		for want, ended := range map[error]func(context.Context) (context.Context, context.CancelFunc){
			context.DeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			},
			context.Canceled: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(time.Second, cancel)
				return ctx, cancel
			},
		} {
			t.Run(grant+", "+want.Error(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m, err := NewManager(Config{Resource: "https://mcp.example.com", HTTPClient: waits})
					if err != nil {
						t.Fatal(err)
					}
					defer m.Close()
					ctx, cancel := ended(t.Context())
					defer cancel()
					_, _, err = m.cfg.obtainer.endpoint.post(ctx, waits, &Server{}, &Client{ID: "c"}, "https://as.example.com/token", url.Values{"grant_type": {grant}}, nil)
					if !errors.Is(err, want) {
						t.Errorf("%v, want %v", err, want)
					}
				})
			})
		}
	}
}
