package auth

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/suspended"
)

// Suspend returns what a grant's Finish needs to go on with the flow, which
// [Manager.FinishLogin] calls: kept, the grant's own in JSON, and what the flow
// has. ctx is that of Authorize. What it returns has secrets. After expires it is worth nothing. Call it after
// [Flow.Client].
func (f *Flow) Suspend(ctx context.Context, kept []byte, expires time.Time) ([]byte, error) {
	u := f.use
	if u.client == nil {
		return nil, errors.New("auth: Suspend was called before Client")
	}
	s := suspended.Login{
		Resource: u.resource.canonical, Subject: u.vault.subject, Issuer: f.Server.Issuer, Scopes: f.Scopes, Client: u.client.ID,
		Begun: wallNow().UnixMilli(), Trace: u.trace.Link(ctx), Expires: expires.Unix(), Grant: kept,
	}
	if u.indicator != s.Resource {
		s.For = u.indicator
	}
	if reg := u.registered(); reg != nil {
		c := suspended.Client(*reg)
		c.RegistrationAccessToken, c.RegistrationClientURI = "", "" // the store has them, under the issuer
		s.Register = &c
	}
	return json.Marshal(s)
}

// resume is the opposite of Suspend, for the manager that it is asked for. The
// error says why the login cannot go on.
func resume(kept []byte, canonical, subject string) (*suspended.Login, error) {
	s := new(suspended.Login)
	switch err := json.Unmarshal(kept, s); {
	case err != nil:
		return nil, &ConfigError{"kept", "is not what BeginLogin returned; keep it as it is"}
	case s.Resource != canonical || s.Subject != subject:
		return nil, ErrOtherLogin
	case wallNow().Unix() >= s.Expires:
		return nil, ErrLoginExpired
	}
	if s.For == "" {
		s.For = s.Resource
	}
	return s, nil
}
