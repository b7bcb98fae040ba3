package auth

import (
	"context"
	"errors"
	"slices"

	"github.com/mcptokens/mcptokens/auth/discovery"
)

// found is what discovery found: where to get a token, and for what.
type found struct {
	server *Server
	// resource is the resource indicator to send: the one that the protected
	// resource metadata states, to the letter.
	resource string
	// scopes are the resource's scopes_supported.
	scopes []string
}

// discover finds the authorization server of the resource (MCP 2026-07-28,
// authorization server discovery). Since a challenge may mean that the resource
// has moved, nothing will do that was known when the token in use was new.
func (m *Manager) discover(ctx context.Context, rec *Record, c Challenge) (*found, error) {
	if f := m.configured(); f != nil {
		return f, nil
	}
	ctx = m.cfg.trace.discovery.TraceDiscoveryStart(ctx, DiscoveryStart{Resource: m.canonical})
	f, err := m.discoverResource(ctx, rec, c)
	end := DiscoveryEnd{Err: err}
	if err == nil {
		end.Issuer = f.server.Issuer
	}
	m.cfg.trace.discovery.TraceDiscoveryEnd(ctx, end)
	return f, err
}

func (m *Manager) discoverResource(ctx context.Context, rec *Record, c Challenge) (*found, error) {
	w := wanted{freshMetadata, m.lastMetadata()}
	if m.cfg.Server != nil { // an issuer alone
		srv, err := m.server(ctx, m.cfg.Server.Issuer, w)
		if err != nil {
			return nil, err
		}
		return &found{server: srv, resource: m.canonical}, nil
	}
	prm, err := m.protectedResource(ctx, rec, c, w)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.st.listed = prm
	m.mu.Unlock()
	f := &found{resource: orElse(prm.Resource, m.canonical), scopes: prm.ScopesSupported}
	if len(prm.AuthorizationServers) == 0 {
		f.server, err = m.legacyServer(ctx, w)
		return f, err
	}
	issuer, err := m.chooseIssuer(prm.AuthorizationServers, rec)
	if err != nil {
		return nil, err
	}
	f.server, err = m.server(ctx, issuer, w)
	return f, err
}

// chooseIssuer picks one of the resource's authorization servers (RFC 9728
// section 7.6 leaves it to the client): the one that the client is registered
// with, else the one in use, else the first.
func (m *Manager) chooseIssuer(listed []string, rec *Record) (string, error) {
	if bound := m.boundIssuer(rec); bound != "" {
		if !slices.Contains(listed, bound) {
			return "", &IssuerError{Expected: bound, Actual: listed[0]}
		}
		return bound, nil
	}
	if slices.Contains(listed, rec.Issuer) {
		return rec.Issuer, nil
	}
	return listed[0], nil
}

// boundIssuer is the only authorization server that the configured client may
// be shown to; empty when there is no such bond. A client whose issuer was not
// configured is bound to the first one that gave it a token.
func (m *Manager) boundIssuer(rec *Record) string {
	if m.cfg.Client.ID == "" {
		return ""
	}
	if m.cfg.Client.Issuer != "" {
		return m.cfg.Client.Issuer
	}
	return rec.Issuer
}

// configured is the server of the configuration if nothing needs discovering.
func (m *Manager) configured() *found {
	if m.cfg.Server == nil || m.cfg.Server.TokenEndpoint == "" {
		return nil
	}
	return &found{server: m.cfg.Server, resource: m.canonical}
}

// serverOf finds the server that issued rec's token, from memory if it can: a
// refresh token goes there and nowhere else.
func (m *Manager) serverOf(ctx context.Context, rec *Record) (*found, error) {
	if f := m.configured(); f != nil {
		return f, nil
	}
	if rec.Issuer != "" {
		srv, err := m.serverOfIssuer(ctx, rec.Issuer)
		if err == nil {
			resource := rec.Resource
			if resource == "" { // from SetRecord, which was not told
				if resource, err = m.resourceName(ctx, rec); err != nil {
					return nil, err
				}
			}
			return &found{server: srv, resource: resource}, nil
		}
		if !errors.Is(err, discovery.ErrNotFound) {
			return nil, err
		}
	}
	f, err := m.discover(ctx, rec, Challenge{})
	if err != nil {
		return nil, err
	}
	if rec.Issuer != "" && rec.Issuer != f.server.Issuer {
		return nil, m.moved(rec)
	}
	return f, nil
}

// resourceName is what the resource's metadata call it (RFC 9728 section 2):
// the indicator that whoever else asked for tokens will have sent.
func (m *Manager) resourceName(ctx context.Context, rec *Record) (string, error) {
	prm, err := m.protectedResource(ctx, rec, Challenge{}, wanted{age: freshMetadata})
	if err != nil {
		return "", err
	}
	return orElse(prm.Resource, m.canonical), nil
}
