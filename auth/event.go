package auth

import "time"

// EventType says what happened to the token.
type EventType string

// The events.
const (
	EventTokenUpdated            EventType = "token_updated"            // a new token is in use
	EventRefreshFailed           EventType = "refresh_failed"           // a refresh gave up; Err says why and when the next is due
	EventReauthorizationRequired EventType = "reauthorization_required" // only a new authorization helps
	EventSaveFailed              EventType = "save_failed"              // the token is in use but not stored; saving is retried
	EventSaved                   EventType = "saved"                    // the token that could not be stored now is
	EventForgotten               EventType = "forgotten"                // Revoke: there is no longer a token
	EventLoginElsewhere          EventType = "login_elsewhere"          // another process asks the user to log in; this one waits for it
	EventLoginFailed             EventType = "login_failed"             // FinishLogin: the answer led to no token; Err says why
	EventLoginLimit              EventType = "login_limit"              // no more logins by themselves for a while; Err says until when
)

// Event is what subscribers of a [Manager] or a [Pool] get. It holds no secret: call [Manager.Token] for
// the token itself.
type Event struct {
	Type   EventType
	Time   time.Time
	Expiry time.Time
	Scopes []string
	Err    error
	// Resource is the MCP server's URL, Issuer the authorization server, if it is
	// known.
	Resource, Issuer string
	// Subject is what [PoolConfig].EventSubject returned; empty without it. Lines of
	// the log have the same, as "subject".
	Subject string
}
