package auth

import (
	"time"

	"github.com/mcptokens/mcptokens/auth/internal/lifecycle"
)

// State is the state of a manager's token.
type State string

// The states.
const (
	StateUnknown                 State = "unknown"                  // the store was not read yet
	StateNone                    State = "none"                     // no token yet
	StateFresh                   State = "fresh"                    // handed out at once
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

// Info returns the state of the token. It waits for nothing: before the first
// use the store was not read yet; see [Manager.Load].
func (m *Manager) Info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	machine, rec, now := &m.st.machine, m.st.held.Record, wallNow()
	i := Info{
		Resource: m.vault.canonical, Issuer: rec.Issuer, ClientID: m.cfg.store.client.ID,
		Requested:  rec.Requested,
		Refreshing: machine.Running(lifecycle.Renew), Authorizing: machine.Running(lifecycle.Login),
		Unsaved: m.st.held.unsaved, LastError: machine.LastErr(), RetryAt: machine.RetryAt(now),
	}
	if reg := rec.Registration; reg != nil && i.ClientID == "" {
		i.ClientID = reg.ClientID
	}
	if t := rec.Token; t != nil {
		i.TokenType, i.Expiry, i.Scopes, i.HasRefreshToken = t.TokenType, t.Expiry, t.Scopes, t.RefreshToken != ""
		i.RefreshAt = machine.Planned()
	}
	switch planned := machine.Planned(); {
	case machine.Closed():
		i.State = StateClosed
	case !machine.Read() && rec.Token == nil:
		i.State = StateUnknown
	case rec.Token == nil:
		i.State = StateNone
	case machine.Usable(now) && !planned.IsZero() && !now.Before(planned):
		i.State = StateExpiring
	case machine.Usable(now):
		i.State = StateFresh
	case machine.Renewable():
		i.State = StateExpired
	default:
		i.State = StateReauthorizationRequired
	}
	return i
}
