package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
)

// Code that takes an oauth2.TokenSource gets what it needs and no more: who
// had the refresh token could spend it behind the manager's back.
func TestTokenSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		m, tok := k.started(k.config(), "read", "write")
		src := m.TokenSource(t.Context())
		got, err := src.Token()
		if err != nil {
			t.Fatal(err)
		}
		if got.AccessToken != tok.AccessToken || got.Type() != "Bearer" || !got.Expiry.Equal(tok.Expiry) || got.RefreshToken != "" || !got.Valid() {
			t.Errorf("got %+v", got)
		}
		if got.Extra("scope") != "read write" {
			t.Errorf("scope is %v", got.Extra("scope"))
		}
		if next, err := m.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		} else if got, err := src.Token(); err != nil || got.AccessToken != next.AccessToken {
			t.Errorf("after a refresh: %+v, %v", got, err)
		}
		client := oauth2.NewClient(context.WithValue(t.Context(), oauth2.HTTPClient, k.srv.Client()), src)
		resp, err := client.Post(k.res.URL, "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("the server answers %d", resp.StatusCode)
		}
	})

	// It could not be presented: nobody there can prove the key.
	t.Run("DPoP", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newDPoPKit(t, authtest.Protection{})
			m := k.manager(k.cfg)
			k.authorize(m)
			got, err := m.TokenSource(t.Context()).Token()
			if ce := asError[*auth.ConfigError](t, err); got != nil || ce.Field != "Config.DPoP" {
				t.Errorf("got %v, %v", got, err)
			}
		})
	})

	t.Run("errors", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			k := newKit(t, authtest.Config{}, authtest.Protection{})
			cfg := k.config()
			cfg.NoIdleRefresh = true
			m := k.manager(cfg)
			if got, err := m.TokenSource(t.Context()).Token(); got != nil || err != auth.ErrNoToken {
				t.Errorf("got %+v, %v, want ErrNoToken", got, err)
			}
			if err := m.SetToken(t.Context(), k.token()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
			k.srv.Inject(authtest.TokenEndpoint, authtest.Delay(10*time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if got, err := m.TokenSource(ctx).Token(); got != nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %+v, %v, want the deadline", got, err)
			}
		})
	})
}
