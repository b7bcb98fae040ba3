package auth

import (
	"context"
	"time"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// SetToken puts a token in use that was obtained elsewhere and stores it. One
// that expires within [Config.RefreshWindow] is refreshed when first asked
// for, and handed out meanwhile; one with only a RefreshToken is refreshed
// before it is handed out. It is refreshed as [Config.Client]; if that is not
// configured, use [Manager.SetRecord]. Errors: *[ConfigError] for a token
// without either, *[StoreError] when it is in use but could not be stored,
// [ErrClosed].
func (m *Manager) SetToken(ctx context.Context, t *Token) error {
	return m.SetRecord(ctx, &Record{Token: t})
}

// SetRecord is [Manager.SetToken] for a token of which more is known. Of r it
// takes
//
//   - Token, as SetToken does;
//   - Issuer: the only server that the refresh token is ever sent to. Empty:
//     as before, else the one that the resource names;
//   - Registration: the client that the token was issued to, if it is not
//     [Config.Client]. It is used with this issuer only;
//   - Resource: the resource indicator that the token was requested with.
//     Empty, with an Issuer: what the resource's metadata say at the first
//     refresh;
//   - Obtained and Requested, when they are known.
//
// Errors beyond those of SetToken: *[ConfigError] that names the field of the
// record, and *[IssuerError] when the configuration names another issuer.
func (m *Manager) SetRecord(ctx context.Context, r *Record) error {
	_, err := m.setRecordFrom(ctx, r, false)
	return err
}

// Import is [Manager.SetRecord] for a credential that was kept somewhere else
// until now. If there is one already, in use or in the [Store], it changes nothing
// and returns false: since the first import that one has been rotated, and the
// refresh token of the copy is spent. That is decided under the store's lock,
// so any number of processes may import the same copy at once.
//
// Remove the copy afterwards: after [Manager.Revoke] it would be imported
// again.
func (m *Manager) Import(ctx context.Context, r *Record) (imported bool, err error) {
	return m.setRecordFrom(ctx, r, true)
}

func (m *Manager) setRecordFrom(ctx context.Context, r *Record, onlyIfNone bool) (bool, error) {
	if err := m.cfg.checkForeign(r); err != nil {
		return false, err
	}
	done, err := m.loaded(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	ctx = m.about(ctx)
	tx, err := m.vault.begin(ctx)
	defer tx.end()
	if err != nil || onlyIfNone && tx.Token != nil {
		m.tell(m.caughtUp())
		return false, err
	}
	rec := *tx.Record
	if bound := m.cfg.obtainer.clients.bound(&rec); r.Issuer != "" && bound != "" && !discovery.SameIssuer(bound, r.Issuer) {
		return false, &IssuerError{Expected: bound, Actual: r.Issuer}
	}
	rec.Token, rec.Obtained = r.Token.seal(), r.Obtained.Round(0)
	rec.Token.evidence = &evidence{since: m.cfg.obtainer.finder.Now()}
	if r.Issuer != "" {
		if r.Issuer != rec.Issuer {
			rec.Registration, rec.Endpoints = nil, nil // those of the other one
		}
		rec.Issuer, rec.Resource = r.Issuer, r.Resource
	}
	if r.Registration != nil && m.cfg.obtainer.clients.configured.ID == "" {
		reg := *r.Registration
		rec.Registration = &reg
	}
	rec.Requested = unionScopes(rec.Requested, r.Requested)
	err = tx.install(ctx, &rec)
	m.tell(m.changed(err))
	return true, err
}

// checkForeign validates what another program knows of a token.
func (s *shared) checkForeign(r *Record) error {
	if r == nil || r.Token == nil || (r.Token.AccessToken == "" && r.Token.RefreshToken == "") {
		return &ConfigError{"Token", "has neither AccessToken nor RefreshToken; set one"}
	}
	t := r.Token
	if !presentable(t.AccessToken) {
		return &ConfigError{"Token.AccessToken", "has a space, a control character or one beyond ASCII, which no header can carry; set the token alone"}
	}
	if typ := canonicalTokenType(t.TokenType); typ != "Bearer" && typ != "DPoP" {
		return &ConfigError{"Token.TokenType", "must be Bearer or DPoP; leave it empty for Bearer"}
	} else if typ == "DPoP" && (s.store.keys == nil || t.binding == nil) {
		return &ConfigError{"Token.TokenType", "is DPoP, which takes a manager with Config.DPoP and a token that another such manager handed out, with its key in it"}
	}
	if r.Obtained.After(wallNow().Add(time.Minute)) {
		return &ConfigError{"Record.Obtained", "is in the future; leave it zero if it is not known"}
	}
	if r.Issuer != "" {
		if _, err := httpx.CheckURLIn(s.network, "Record.Issuer", r.Issuer); err != nil {
			return badURL("Record.Issuer", r.Issuer, err)
		}
		if configured := s.store.first(); configured != "" && configured != r.Issuer {
			return &IssuerError{Expected: configured, Actual: r.Issuer}
		}
	}
	switch reg := r.Registration; {
	case reg == nil:
	case reg.ClientID == "":
		return &ConfigError{"Record.Registration.ClientID", "is empty; set the client that the token was issued to, or leave Registration nil"}
	case r.Issuer == "":
		return &ConfigError{"Record.Issuer", "is empty but Registration is set; name the issuer that the client is registered with"}
	case s.store.client.ID != "" && s.store.client.ID != reg.ClientID:
		return &ConfigError{"Record.Registration.ClientID", "is not Config.Client.ID, which is what refresh requests are sent as; make them the same, or leave Config.Client empty"}
	}
	return nil
}
