package grant

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// idJAGMargin is how long before its expiry an ID-JAG is no longer presented:
// the request takes time, and clocks differ.
const idJAGMargin = 30 * time.Second

// target is whom an ID-JAG is for. One is remembered for each.
type target struct{ audience, resource string }

// order is what an ID-JAG is asked for with. One that was asked for with
// anything else is not used.
type order struct {
	target
	subject string // the subject token, or in an idJAG its hash
	client  string
	scope   string
}

// hashed returns the order without the subject token, which is not for keeping.
func (o order) hashed() order {
	sum := sha256.Sum256([]byte(o.subject))
	o.subject = string(sum[:])
	return o
}

// idJAG is one that was issued.
type idJAG struct {
	order     order
	assertion string
	scopes    []string
	expiry    time.Time
}

// remembered returns a live ID-JAG that was issued for want; nil if there is
// none.
func (g *IDJAG) remembered(want order) *idJAG {
	g.mu.Lock()
	defer g.mu.Unlock()
	jag := g.issued[want.target]
	if jag == nil || jag.order != want.hashed() || !jag.live(time.Now()) {
		return nil
	}
	return jag
}

// live is false without an expiry: such an ID-JAG is used once.
func (j *idJAG) live(now time.Time) bool { return now.Round(0).Add(idJAGMargin).Before(j.expiry) }

// remember keeps jag in place of the one for the same target.
func (g *IDJAG) remember(t target, jag *idJAG) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.issued == nil {
		g.issued = make(map[target]*idJAG)
	}
	g.issued[t] = jag
}

// forget drops jag, but not its successor.
func (g *IDJAG) forget(t target, jag *idJAG) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.issued[t] == jag {
		delete(g.issued, t)
	}
}

// loginHelps reports whether the identity provider refused the subject token,
// rather than the client or what it asks for. For a token that is invalid for
// any reason RFC 8693 section 2.2.2 has invalid_request, as for all else, so
// then the token's own expiry decides; the extension's section 4.2.1 has
// invalid_grant. The others are OpenID Connect's and RFC 9470's words for it.
func loginHelps(err error, subject string, now time.Time) bool {
	var te *auth.TokenError
	if !errors.As(err, &te) {
		return false
	}
	switch te.Code {
	case "invalid_grant", "login_required", "interaction_required", "insufficient_user_authentication":
		return true
	case "invalid_request":
		expiry := jwtExpiry(subject)
		return !expiry.IsZero() && !now.Before(expiry)
	}
	return false
}
