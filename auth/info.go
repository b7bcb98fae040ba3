package auth

import "time"

// State is the state of a manager's token.
type State string

// The states.
const (
	StateNone                    State = "none"                     // no token yet
	StateFresh                   State = "fresh"                    // handed out without further ado
	StateExpiring                State = "expiring"                 // inside the refresh window, handed out still
	StateExpired                 State = "expired"                  // expired or rejected; the next caller gets a new one
	StateReauthorizationRequired State = "reauthorization_required" // expired or rejected, and only the grant or SetToken helps
	StateClosed                  State = "closed"
)

// Info describes a manager's token without its secrets.
type Info struct {
	State State
	// Resource is the MCP server's canonical URL, without a query; Issuer the
	// authorization server, empty when it is not known yet; ClientID the client
	// in use, likewise.
	Resource, Issuer, ClientID string
	TokenType                  string
	// Expiry is zero when the lifetime is unknown; RefreshAt when no early
	// refresh is planned.
	Expiry, RefreshAt time.Time
	// Scopes were granted; Requested are all that were asked for so far.
	Scopes, Requested []string
	// HasRefreshToken: the token can be refreshed.
	HasRefreshToken bool
	// Refreshing and Authorizing: such an operation is under way.
	Refreshing, Authorizing bool
	// Unsaved: the token is in use but could not be stored; it is tried again.
	Unsaved bool
	// LastError is what went wrong last, nil after a success. RetryAt is when
	// the next refresh is due after a failed one; zero otherwise.
	LastError error
	RetryAt   time.Time
}

// Info returns the state of the token. It never waits for the network.
func (m *Manager) Info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, now := &m.st, wallNow()
	i := Info{
		Resource: m.canonical, Issuer: s.rec.Issuer, ClientID: m.cfg.Client.ID,
		Requested:  s.rec.Requested,
		Refreshing: s.renew != nil, Authorizing: s.login != nil,
		Unsaved: s.unsaved, LastError: s.lastErr,
	}
	if reg := s.rec.Registration; reg != nil && i.ClientID == "" {
		i.ClientID = reg.ClientID
	}
	if s.renewFailed.at(now) != nil {
		i.RetryAt = s.renewFailed.until
	}
	renewable := s.canRenew(m.cfg.Grant)
	if t := s.rec.Token; t != nil {
		i.TokenType, i.Expiry, i.Scopes, i.HasRefreshToken = t.TokenType, t.Expiry, t.Scopes, t.RefreshToken != ""
		if renewable {
			i.RefreshAt = s.refreshAt()
		}
	}
	switch {
	case s.closed:
		i.State = StateClosed
	case s.rec.Token == nil:
		i.State = StateNone
	case s.usable(now) && renewable && s.window > 0 && !now.Before(s.refreshAt()):
		i.State = StateExpiring
	case s.usable(now):
		i.State = StateFresh
	case renewable:
		i.State = StateExpired
	default:
		i.State = StateReauthorizationRequired
	}
	return i
}
