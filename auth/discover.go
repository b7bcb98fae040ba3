package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/httpx"
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
// authorization server discovery). It asks anew each time: the resource may
// have moved.
func (m *Manager) discover(ctx context.Context, rec *Record, c Challenge) (*found, error) {
	if f := m.configured(); f != nil {
		return f, nil
	}
	ctx = m.cfg.trace.discovery.TraceDiscoveryStart(ctx, DiscoveryStart{Resource: m.canonical})
	f, err := m.discoverResource(ctx, rec, c)
	end := DiscoveryEnd{Err: err}
	if err == nil {
		end.Issuer = f.server.Issuer
		m.rememberServer(f)
	}
	m.cfg.trace.discovery.TraceDiscoveryEnd(ctx, end)
	return f, err
}

func (m *Manager) discoverResource(ctx context.Context, rec *Record, c Challenge) (*found, error) {
	if m.cfg.Server != nil { // an issuer alone
		srv, err := m.discovery().AuthorizationServer(ctx, m.cfg.Server.Issuer)
		if err != nil {
			return nil, err
		}
		return &found{server: srv, resource: m.canonical}, nil
	}
	prm, err := m.discovery().ProtectedResource(ctx, m.resource, c.ResourceMetadata)
	if errors.Is(err, discovery.ErrNotFound) {
		prm, err = &discovery.ProtectedResource{}, nil
	}
	if err != nil {
		return nil, err
	}
	f := &found{resource: orElse(prm.Resource, m.canonical), scopes: onlyScopes(prm.ScopesSupported)}
	if len(prm.AuthorizationServers) == 0 {
		// A server of MCP 2025-03-26 is its own authorization server.
		f.server, err = m.discovery().Legacy(ctx, m.resource)
		return f, err
	}
	issuer, err := m.chooseIssuer(prm.AuthorizationServers, rec)
	if err != nil {
		return nil, err
	}
	f.server, err = m.discovery().AuthorizationServer(ctx, issuer)
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
	m.mu.Lock()
	f := m.st.found
	m.mu.Unlock()
	if f != nil && (rec.Issuer == "" || rec.Issuer == f.server.Issuer) {
		return f, nil
	}
	if rec.Issuer != "" {
		ctx := m.cfg.trace.discovery.TraceDiscoveryStart(ctx, DiscoveryStart{Resource: m.canonical, Issuer: rec.Issuer})
		srv, err := m.discovery().AuthorizationServer(ctx, rec.Issuer)
		m.cfg.trace.discovery.TraceDiscoveryEnd(ctx, DiscoveryEnd{Issuer: rec.Issuer, Err: err})
		if err == nil {
			resource := rec.Resource
			if resource == "" { // from SetRecord, which was not told
				if resource, err = m.resourceName(ctx); err != nil {
					return nil, err
				}
			}
			f := &found{server: srv, resource: resource}
			m.rememberServer(f)
			return f, nil
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
func (m *Manager) resourceName(ctx context.Context) (string, error) {
	prm, err := m.discovery().ProtectedResource(ctx, m.resource, "")
	switch {
	case errors.Is(err, discovery.ErrNotFound):
		return m.canonical, nil
	case err != nil:
		return "", err
	}
	return orElse(prm.Resource, m.canonical), nil
}

// guarded is the client for URLs that the resource leads to: a resource on the
// Internet does not lead into the network of this machine, see
// [Config.HTTPClient]. A server that the user configured may be anywhere.
func (m *Manager) guarded() *http.Client {
	if m.cfg.Server == nil {
		if c := m.home.Guard(m.cfg.plain, m.cfg.Client.Issuer); c != m.cfg.plain {
			return m.cfg.trace.client(c)
		}
	}
	return m.cfg.HTTPClient
}

// discovery fetches metadata with the guarded client.
func (m *Manager) discovery() *discovery.Client {
	return &discovery.Client{HTTPClient: m.guarded()}
}

// poster is the guarded client that never follows a redirect.
func (m *Manager) poster() *http.Client {
	if c := m.guarded(); c != m.cfg.HTTPClient {
		return httpx.NoRedirect(c)
	}
	return m.cfg.post
}

func (m *Manager) rememberServer(f *found) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.st.found = f
}

// forgetServer makes the next request discover the server anew.
func (m *Manager) forgetServer() { m.rememberServer(nil) }
