package auth

import (
	"net/http"
	"strings"
)

// Challenge is what a server said when it refused a request: an HTTP 401 or
// 403 with its WWW-Authenticate header (RFC 6750 section 3, RFC 9728 section
// 5.1), or the same in the terms of another transport. The zero value is a
// refusal without any explanation; resolving it leads to discovery by
// well-known URIs.
type Challenge struct {
	// Status is the HTTP status, 401 or 403; 0 when the transport has none.
	Status int
	// Scheme is the authentication scheme, such as "Bearer"; empty if none was
	// named.
	Scheme string
	// Error is the error code, such as "invalid_token" or "insufficient_scope".
	Error string
	// Scopes are the scopes that the request needs.
	Scopes []string
	// ResourceMetadata is the URL of the protected resource metadata.
	ResourceMetadata string
	// Operation names what was refused, such as "tools/call" and the tool's
	// name. It is the caller's, and bounds step-ups: see [Manager.Resolve].
	Operation string
	// Params are all parameters of the challenge by lower-case name. They are
	// the server's words: show them to nobody unchecked.
	Params map[string]string
}

// InsufficientScope reports whether the server asks for more scopes (RFC 6750
// section 3.1) rather than for another token.
func (c Challenge) InsufficientScope() bool { return c.Error == "insufficient_scope" }

// ResponseChallenge returns the challenge of a response, and whether it is one
// that [Source.Resolve] can answer: any 401, and a 403 whose Bearer or DPoP
// challenge says insufficient_scope. Other 403s are the server's last word.
//
// Several challenges may stand in one header, several headers in one response,
// other schemes beside Bearer (RFC 9110 section 11.6.1). Of those that can be
// answered the one that says most wins.
func ResponseChallenge(status int, header http.Header) (Challenge, bool) {
	if status != http.StatusUnauthorized && status != http.StatusForbidden {
		return Challenge{}, false
	}
	best, bestScore := Challenge{}, -1
	for _, c := range ParseChallenges(header.Values("WWW-Authenticate")) {
		if !isTokenScheme(c.Scheme) {
			continue
		}
		score := 0
		if c.InsufficientScope() {
			score += 8
		}
		if c.ResourceMetadata != "" {
			score += 4
		}
		if len(c.Scopes) > 0 {
			score += 2
		}
		if c.Error != "" {
			score++
		}
		if score > bestScore {
			best, bestScore = c, score
		}
	}
	best.Status = status
	return best, status == http.StatusUnauthorized || best.InsufficientScope()
}

// isTokenScheme reports the schemes that present an OAuth access token.
func isTokenScheme(s string) bool {
	return strings.EqualFold(s, "Bearer") || strings.EqualFold(s, "DPoP")
}

// maxChallenges and maxChallengeBytes bound the work on a hostile header.
const (
	maxChallenges     = 32
	maxChallengeBytes = 64 << 10
)

// ParseChallenges parses WWW-Authenticate field values by the grammar of RFC
// 9110 section 11.6.1: challenges and their parameters are both separated by
// commas, values are tokens or quoted strings, names are compared without
// case. What cannot be parsed is passed over, never guessed at.
func ParseChallenges(values []string) []Challenge {
	var out []Challenge
	for _, v := range values {
		if len(v) > maxChallengeBytes {
			continue
		}
		p := challengeParser{s: v}
		for len(out) < maxChallenges {
			c, ok := p.next()
			if !ok {
				break
			}
			out = append(out, c)
		}
	}
	return out
}

// challengeParser walks one field value.
type challengeParser struct {
	s string
	i int
}

// next returns the next challenge; false at the end of the value.
func (p *challengeParser) next() (Challenge, bool) {
	var scheme string
	for {
		p.skip(" \t,")
		if p.i >= len(p.s) {
			return Challenge{}, false
		}
		if scheme = p.token(); scheme != "" {
			break
		}
		p.i++ // not a token character: pass over it
	}
	c := Challenge{Scheme: scheme}
	p.skip(" \t")
	// Bearer and DPoP take parameters only, so that an empty one ("scope=,")
	// is not mistaken for a padded word.
	if !isTokenScheme(scheme) && p.token68() {
		return c, true
	}
	for {
		name, value, ok := p.param()
		if !ok {
			break
		}
		if c.Params == nil {
			c.Params = make(map[string]string)
		}
		name = strings.ToLower(name)
		if _, dup := c.Params[name]; !dup { // RFC 9110 section 11.2: once only; the first stands
			c.Params[name] = value
		}
	}
	c.Error = c.Params["error"]
	c.Scopes = splitScopes(c.Params["scope"])
	c.ResourceMetadata = c.Params["resource_metadata"]
	return c, true
}

// param reads one name=value; it leaves the position alone when a new
// challenge begins instead.
func (p *challengeParser) param() (name, value string, ok bool) {
	start := p.i
	p.skip(" \t,")
	name = p.token()
	p.skip(" \t")
	if name == "" || p.i >= len(p.s) || p.s[p.i] != '=' {
		p.i = start
		return "", "", false
	}
	p.i++
	p.skip(" \t")
	if p.i < len(p.s) && p.s[p.i] == '"' {
		value, ok = p.quoted()
		return name, value, ok
	}
	// Not only token characters: servers put bare URLs and paths here.
	from := p.i
	for p.i < len(p.s) && p.s[p.i] != ',' && p.s[p.i] != ' ' && p.s[p.i] != '\t' {
		p.i++
	}
	return name, p.s[from:p.i], true
}

// token68 passes over a credential in the one-word form that some schemes use
// instead of parameters ("Negotiate YII…=").
func (p *challengeParser) token68() bool {
	j := p.i
	for j < len(p.s) && (isTokenChar(p.s[j]) || p.s[j] == '/') {
		j++
	}
	word := j > p.i
	for j < len(p.s) && p.s[j] == '=' {
		j++
	}
	k := j
	for k < len(p.s) && (p.s[k] == ' ' || p.s[k] == '\t') {
		k++
	}
	// A word followed by "=value" is a parameter.
	if word && (k >= len(p.s) || p.s[k] == ',') {
		p.i = k
		return true
	}
	return false
}

// quoted reads a quoted-string; an unterminated one is dropped with the rest.
func (p *challengeParser) quoted() (string, bool) {
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; c {
		case '\\':
			p.i++
			if p.i < len(p.s) {
				b.WriteByte(p.s[p.i])
			}
		case '"':
			p.i++
			return b.String(), true
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

func (p *challengeParser) token() string {
	from := p.i
	for p.i < len(p.s) && isTokenChar(p.s[p.i]) {
		p.i++
	}
	return p.s[from:p.i]
}

func (p *challengeParser) skip(chars string) {
	for p.i < len(p.s) && strings.IndexByte(chars, p.s[p.i]) >= 0 {
		p.i++
	}
}

// isTokenChar reports the characters of a token (RFC 9110 section 5.6.2).
func isTokenChar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
