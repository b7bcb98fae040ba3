package weblogin

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/internal/suspended"
)

// pending is a link, or a login under way, as it is stored.
type pending struct {
	Resource string   `json:"r"`
	Scopes   []string `json:"s,omitempty"`
	Return   string   `json:"p,omitempty"`

	// Of a login: what the answer has to bring, what the browser has to bring, and
	// what FinishLogin needs. Link is the one that it was begun by.
	State  string          `json:"st,omitempty"`
	Cookie string          `json:"c,omitempty"`
	Kept   json.RawMessage `json:"k,omitempty"`
	Begun  int64           `json:"b,omitempty"` // Unix time in milliseconds
	Link   string          `json:"l,omitempty"`
	Used   bool            `json:"u,omitempty"`

	issuer     string // of a login
	generation uint64
	expires    time.Time
}

// keyOf is where the login id of subject is stored. A store is asked by the subject
// of the session, so that nobody finds another's.
func keyOf(subject, id string) auth.Key {
	return auth.Key{Issuer: suspended.KeyIssuer, ClientID: id, Subject: subject}
}

func (p *pending) record(expires time.Time) (*auth.Record, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	// The expiry is where lists of a store show it, and what it is for where
	// [auth.Pool.Logout] looks.
	return &auth.Record{
		Generation: p.generation, Issuer: p.issuer, Resource: p.Resource, ProofKey: data, Token: &auth.Token{Expiry: expires.Round(0)},
	}, nil
}

// keep stores a new one.
func (l *Logins) keep(ctx context.Context, subject, id string, expires time.Time, p *pending) error {
	rec, err := p.record(expires)
	if err != nil {
		return err
	}
	if _, err := l.cfg.Store.Save(ctx, keyOf(subject, id), rec); err != nil {
		return &auth.StoreError{Op: "save", Err: err}
	}
	l.sweep.add(keyOf(subject, id), expires)
	return nil
}

var errUnknown = errors.New("no such login")

// find returns that of subject; errUnknown if there is none, or none any more.
func (l *Logins) find(ctx context.Context, subject, id string) (*pending, error) {
	if !isID(id) {
		return nil, errUnknown
	}
	rec, err := l.cfg.Store.Load(ctx, keyOf(subject, id))
	switch {
	case errors.Is(err, auth.ErrNotFound):
		return nil, errUnknown
	case err != nil:
		return nil, &auth.StoreError{Op: "load", Err: err}
	}
	p := new(pending)
	if rec.Token == nil || !time.Now().Before(rec.Token.Expiry) || json.Unmarshal(rec.ProofKey, p) != nil {
		return nil, errUnknown
	}
	p.issuer, p.generation, p.expires = rec.Issuer, rec.Generation, rec.Token.Expiry
	return p, nil
}

// claim makes p one that is used, and reports false if it was used meanwhile: by
// another request, on whichever replica. What is left has no secrets.
func (l *Logins) claim(ctx context.Context, subject, id string, p *pending) (bool, error) {
	used := &pending{Resource: p.Resource, Return: p.Return, Cookie: p.Cookie, State: p.State, Link: p.Link, Used: true, issuer: p.issuer, generation: p.generation}
	rec, err := used.record(p.expires)
	if err != nil {
		return false, err
	}
	switch _, err := l.cfg.Store.Save(ctx, keyOf(subject, id), rec); {
	case errors.Is(err, auth.ErrConflict):
		return false, nil
	case err != nil:
		return false, &auth.StoreError{Op: "save", Err: err}
	}
	return true, nil
}

// isID reports whether id looks like one of ours, of rand.Text.
func isID(id string) bool {
	if len(id) != 26 {
		return false
	}
	for _, c := range id {
		if (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}
