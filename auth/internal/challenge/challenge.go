// Package challenge parses the WWW-Authenticate header (RFC 9110 section 11.6.1).
package challenge

import "strings"

// Challenge is one of a header: a scheme and its parameters by lower-case name.
// Parameters of schemes that have a single word instead are left out.
type Challenge struct {
	Scheme string
	Params map[string]string
}

// TokenScheme reports the schemes that present an OAuth access token.
func TokenScheme(s string) bool {
	return strings.EqualFold(s, "Bearer") || strings.EqualFold(s, "DPoP")
}

// maxCount and maxBytes bound the work on a hostile header.
const (
	maxCount = 32
	maxBytes = 64 << 10
)

// Parse parses WWW-Authenticate field values by the grammar of RFC
// 9110 section 11.6.1: challenges and their parameters are both separated by
// commas, values are tokens or quoted strings, names are compared without
// case. Spaces around the equals sign, single quotes and bare URLs are read as
// what they are meant to be where the grammar reads nothing else. What cannot be
// parsed is passed over, never guessed at.
func Parse(values []string) []Challenge {
	var out []Challenge
	for _, v := range values {
		if len(v) > maxBytes {
			continue
		}
		p := parser{s: v}
		for len(out) < maxCount {
			c, ok := p.next()
			if !ok {
				break
			}
			out = append(out, c)
		}
	}
	return out
}

// parser walks one field value.
type parser struct {
	s string
	i int
}

// next returns the next challenge; false at the end of the value.
func (p *parser) next() (Challenge, bool) {
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
	if !TokenScheme(scheme) && p.token68() {
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
	return c, true
}

// param reads one name=value; it leaves the position alone when a new
// challenge begins instead.
func (p *parser) param() (name, value string, ok bool) {
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
	if value, ok := p.singleQuoted(); ok {
		return name, value, true
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
func (p *parser) token68() bool {
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
func (p *parser) quoted() (string, bool) {
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

// singleQuoted reads a value in single quotes, as some servers write it. RFC 9110
// knows no such quotes: they are characters of a token (section 5.6.2), and a
// comma ends that. So what the grammar can read is read by the grammar: if what
// is in front of the first comma is a token, the value ends there, and only
// quotes around all of it are taken off. The position stays if there is no such
// value.
func (p *parser) singleQuoted() (string, bool) {
	rest := p.s[p.i:]
	if !strings.HasPrefix(rest, "'") {
		return "", false
	}
	word := strings.TrimRight(rest[:end(rest, ",")], " \t")
	whole := strings.Trim(word, tokenChars) == ""
	if whole {
		rest = word
	}
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '"' && !whole:
			return "", false // of a parameter that follows
		case rest[i] == '\'' && (i+1 == len(rest) || strings.IndexByte(", \t", rest[i+1]) >= 0):
			p.i += i + 1
			return rest[1:i], true
		}
	}
	return "", false
}

// end is the index of the first of chars in s, or its length.
func end(s, chars string) int {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return i
	}
	return len(s)
}

func (p *parser) token() string {
	from := p.i
	for p.i < len(p.s) && isTokenChar(p.s[p.i]) {
		p.i++
	}
	return p.s[from:p.i]
}

func (p *parser) skip(chars string) {
	for p.i < len(p.s) && strings.IndexByte(chars, p.s[p.i]) >= 0 {
		p.i++
	}
}

// tokenChars are the characters of a token (RFC 9110 section 5.6.2).
const tokenChars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func isTokenChar(c byte) bool { return strings.IndexByte(tokenChars, c) >= 0 }
