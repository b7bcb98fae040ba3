package auth

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"

	"github.com/mcptokens/mcptokens/auth/discovery"
	"github.com/mcptokens/mcptokens/internal/httpx"
)

// lastMetadata is when the token in use was new, in the directory's time.
func (m *Manager) lastMetadata() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.st.rec.Token == nil {
		return 0
	}
	return m.st.since
}

// protectedResource returns the resource's metadata, empty if it has none. That
// the server of rec is not listed is not taken from a table that may be older
// than rec.
func (m *Manager) protectedResource(ctx context.Context, rec *Record, c Challenge, w wanted) (*discovery.ProtectedResource, error) {
	d := &m.cfg.directory
	for {
		prm, err := d.resources.get(ctx, d, listedResource{m.resource, c.ResourceMetadata}, w, func(ctx context.Context) (*discovery.ProtectedResource, error) {
			prm, err := m.discovery().ProtectedResource(ctx, m.resource, c.ResourceMetadata)
			switch {
			case errors.Is(err, discovery.ErrNotFound):
				return &discovery.ProtectedResource{}, nil
			case err != nil:
				return nil, err
			}
			prm.ScopesSupported = onlyScopes(prm.ScopesSupported)
			return prm, nil
		})
		if err != nil || w.age == moveMetadata || rec.Issuer == "" || slices.Contains(prm.AuthorizationServers, rec.Issuer) {
			return prm, err
		}
		w.age = moveMetadata
	}
}

func (m *Manager) issuerKey(issuer string) listedServer {
	return listedServer{issuer: issuer, guarded: m.guarded() != m.cfg.HTTPClient}
}

func (m *Manager) legacyKey() listedServer { return listedServer{legacy: m.resource} }

// server returns the metadata of an authorization server.
func (m *Manager) server(ctx context.Context, issuer string, w wanted) (*Server, error) {
	d := &m.cfg.directory
	return d.servers.get(ctx, d, m.issuerKey(issuer), w, func(ctx context.Context) (*Server, error) {
		return m.discovery().AuthorizationServer(ctx, issuer)
	})
}

// legacyServer is the MCP server itself: one of MCP 2025-03-26 is its own
// authorization server.
func (m *Manager) legacyServer(ctx context.Context, w wanted) (*Server, error) {
	d := &m.cfg.directory
	return d.servers.get(ctx, d, m.legacyKey(), w, func(ctx context.Context) (*Server, error) {
		return m.discovery().Legacy(ctx, m.resource)
	})
}

// serverOfIssuer returns the metadata of the server that issued a token, old
// ones rather than none.
func (m *Manager) serverOfIssuer(ctx context.Context, issuer string) (*Server, error) {
	servers := &m.cfg.directory.servers
	for _, l := range []listedServer{m.issuerKey(issuer), m.legacyKey()} {
		if srv, ok := servers.known(l, wanted{age: serverMetadata}); ok && srv.Issuer == issuer {
			return srv, nil
		}
	}
	ctx = m.cfg.trace.discovery.TraceDiscoveryStart(ctx, DiscoveryStart{Resource: m.canonical, Issuer: issuer})
	srv, err := m.server(ctx, issuer, wanted{age: serverMetadata})
	if err != nil && !errors.Is(err, discovery.ErrNotFound) {
		if old, ok := servers.known(m.issuerKey(issuer), wanted{age: math.MaxInt64}); ok {
			srv, err = old, nil
		}
	}
	m.cfg.trace.discovery.TraceDiscoveryEnd(ctx, DiscoveryEnd{Issuer: issuer, Err: err})
	return srv, err
}

// forgetServer makes the next request discover the server anew.
func (m *Manager) forgetServer(srv *Server) {
	servers := &m.cfg.directory.servers
	servers.forget(m.issuerKey(srv.Issuer))
	servers.forget(m.legacyKey())
}

// guarded is the client for URLs that the resource leads to: a resource on the
// Internet does not lead into the network of this machine, see
// [Config.HTTPClient]. A server that the user configured may be anywhere.
func (m *Manager) guarded() *http.Client {
	if m.cfg.Server == nil {
		if c := m.cfg.directory.home(m.resource).Guard(m.cfg.plain, m.cfg.Client.Issuer); c != m.cfg.plain {
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
