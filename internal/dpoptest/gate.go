// Package dpoptest stands in for servers that demand DPoP (RFC 9449), in this
// module's own tests.
//
//	gate := &dpoptest.Gate{Base: srv.Transport(), TokenEndpoint: …, Resource: res.URL}
//	gate.AtToken.Want = "nonce-1"
//	cfg.HTTPClient = &http.Client{Transport: gate}
//
// The servers themselves are those of auth/authtest, which issue and accept
// bearer tokens; a [Gate] sits on the way to them. It checks the proof of every
// request, turns the tokens of responses into DPoP tokens bound to the proof's
// key and, for the servers behind it, those of requests back into bearer tokens.
package dpoptest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Nonces is what one server does about nonces (RFC 9449 sections 8 and 9).
type Nonces struct {
	// Want is the nonce demanded; "": none.
	Want string
	// Next are nonces that the next successful responses hand out, one each,
	// and that are demanded from then on.
	Next []string
	// Never: no nonce is ever good enough, and each refusal hands out another.
	Never bool
	// Silent: refusals hand out no nonce.
	Silent bool
	// Challenge of the resource that demands a nonce. Default: DPoP
	// error="use_dpop_nonce".
	Challenge string
}

// Seen is a proof that arrived.
type Seen struct {
	URL, Method, Nonce, Thumbprint string
	// Code is what was wrong: "", "use_dpop_nonce" or another error code.
	Code string
	// Body is the request's.
	Body string
}

// Gate is an [http.RoundTripper] between a client and its servers. Change its
// fields only while no request is under way, or by [Gate.Set].
type Gate struct {
	Base                    http.RoundTripper
	TokenEndpoint, Resource string
	AtToken, AtResource     Nonces
	// Bearer: the servers know nothing of DPoP and let everything through.
	Bearer bool

	mu    sync.Mutex
	bound map[string]string // thumbprints by access and refresh token
	jtis  map[string]bool
	seen  []Seen
	wrong []string
	count int
}

// Set changes fields while requests may be under way.
func (g *Gate) Set(f func(g *Gate)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g)
}

// At returns the proofs that arrived at a URL, in order.
func (g *Gate) At(target string) (list []Seen) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.seen {
		if s.URL == target {
			list = append(list, s)
		}
	}
	return list
}

// Nonces are the nonces of the proofs that arrived at a URL, in order.
func (g *Gate) Nonces(target string) (list []string) {
	for _, s := range g.At(target) {
		list = append(list, s.Nonce)
	}
	return list
}

// Wrong returns what clients did wrong so far. A missing nonce is not wrong.
func (g *Gate) Wrong() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.wrong)
}

// RoundTrip implements [http.RoundTripper].
func (g *Gate) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	g.mu.Lock()
	bearer := g.Bearer
	g.mu.Unlock()
	target := withoutQuery(r.URL)
	switch {
	case bearer:
	case target == g.TokenEndpoint:
		return g.tokenRequest(r, body)
	case target == g.Resource || strings.HasPrefix(target, g.Resource+"/"):
		return g.resourceRequest(r, body)
	}
	return g.Base.RoundTrip(r)
}

func (g *Gate) tokenRequest(r *http.Request, body []byte) (*http.Response, error) {
	p, code := g.check(r, body, &g.AtToken, "")
	form, _ := url.ParseQuery(string(body))
	if refresh := form.Get("refresh_token"); code == "" && refresh != "" && !g.isBound(refresh, p) {
		code = "invalid_grant"
	}
	if code != "" {
		return g.refuse(r, http.StatusBadRequest, code, &g.AtToken), nil
	}
	resp, err := g.Base.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if json.Unmarshal(answer, &doc) == nil {
		g.mu.Lock()
		if g.bound == nil {
			g.bound = make(map[string]string)
		}
		for _, name := range []string{"access_token", "refresh_token"} {
			if token, _ := doc[name].(string); token != "" {
				g.bound[token] = p.Thumbprint
			}
		}
		g.mu.Unlock()
		doc["token_type"] = "DPoP"
		answer, _ = json.Marshal(doc)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(answer)), int64(len(answer))
	resp.Header.Del("Content-Length")
	g.rotate(resp, &g.AtToken)
	return resp, nil
}

func (g *Gate) resourceRequest(r *http.Request, body []byte) (*http.Response, error) {
	if authorization := r.Header.Get("Authorization"); authorization != "" {
		token, ok := strings.CutPrefix(authorization, "DPoP ")
		if !ok {
			g.note("a token that is bound was sent as a bearer token")
			return g.refuse(r, http.StatusUnauthorized, "invalid_token", &g.AtResource), nil
		}
		p, code := g.check(r, body, &g.AtResource, token)
		if code == "" && !g.isBound(token, p) {
			code = "invalid_token"
		}
		if code != "" {
			return g.refuse(r, http.StatusUnauthorized, code, &g.AtResource), nil
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := g.Base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if challenge, ok := strings.CutPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer"); ok {
		resp.Header.Set("WWW-Authenticate", "DPoP"+challenge)
	} else {
		g.rotate(resp, &g.AtResource)
	}
	return resp, nil
}

// check verifies the proof of a request (RFC 9449 section 4.3) and returns the
// error code of what is wrong.
func (g *Gate) check(r *http.Request, body []byte, nonces *Nonces, accessToken string) (*Proof, string) {
	p, problem := g.proofOf(r, accessToken)
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := Seen{URL: withoutQuery(r.URL), Method: r.Method, Body: string(body)}
	switch {
	case problem == nil && g.jtis[p.Claim("jti")]:
		problem = errors.New("jti was used before")
		fallthrough
	case problem != nil:
		seen.Code = "invalid_dpop_proof"
		g.wrong = append(g.wrong, seen.URL+": "+problem.Error())
	case nonces.Never || nonces.Want != "" && p.Claim("nonce") != nonces.Want:
		seen.Code = "use_dpop_nonce"
	}
	if p != nil {
		if g.jtis == nil {
			g.jtis = make(map[string]bool)
		}
		g.jtis[p.Claim("jti")] = true
		seen.Nonce, seen.Thumbprint = p.Claim("nonce"), p.Thumbprint
	}
	g.seen = append(g.seen, seen)
	return p, seen.Code
}

func (g *Gate) proofOf(r *http.Request, accessToken string) (*Proof, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) != 1 {
		return nil, fmt.Errorf("%d DPoP headers", len(headers))
	}
	p, err := Parse(headers[0])
	if err != nil {
		return nil, err
	}
	ath, hasATH := p.Claims["ath"]
	iat, _ := p.Claims["iat"].(float64)
	switch {
	case p.Claim("htm") != cmp.Or(r.Method, http.MethodGet):
		err = fmt.Errorf("htm is %v for %s", p.Claims["htm"], r.Method)
	case p.Claim("htu") != withoutQuery(r.URL):
		err = fmt.Errorf("htu is %v for %s", p.Claims["htu"], r.URL)
	case time.Since(time.Unix(int64(iat), 0)).Abs() > 5*time.Second:
		err = fmt.Errorf("iat is %v", p.Claims["iat"])
	case accessToken == "" && hasATH:
		err = errors.New("ath without an access token")
	case accessToken != "" && ath != Hash(accessToken):
		err = errors.New("ath is not of the access token")
	}
	return p, err
}

// isBound reports whether p is of the key that token was issued to. A token that
// was not issued through the gate, as by authtest's IssueToken, is bound by its
// first use.
func (g *Gate) isBound(token string, p *Proof) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bound == nil {
		g.bound = make(map[string]string)
	}
	if _, ok := g.bound[token]; !ok {
		g.bound[token] = p.Thumbprint
	}
	if g.bound[token] == p.Thumbprint {
		return true
	}
	g.wrong = append(g.wrong, "a token is presented with another key than it is bound to")
	return false
}

// refuse makes an error response: RFC 9449 section 5 at the token endpoint,
// section 7.1 at the resource.
func (g *Gate) refuse(r *http.Request, status int, code string, nonces *Nonces) *http.Response {
	g.mu.Lock()
	defer g.mu.Unlock()
	resp := &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"error":"` + code + `"}`)),
	}
	if status == http.StatusUnauthorized {
		challenge := `DPoP error="` + code + `"`
		if code == "use_dpop_nonce" && nonces.Challenge != "" {
			challenge = nonces.Challenge
		}
		resp.Header.Set("WWW-Authenticate", challenge)
	}
	if code == "use_dpop_nonce" && !nonces.Silent {
		nonce := nonces.Want
		if nonces.Never {
			g.count++
			nonce = fmt.Sprintf("never-%d", g.count)
		}
		resp.Header.Set("DPoP-Nonce", nonce)
	}
	return resp
}

// rotate hands out the next nonce with a successful response.
func (g *Gate) rotate(resp *http.Response, nonces *Nonces) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(nonces.Next) > 0 {
		nonces.Want, nonces.Next = nonces.Next[0], nonces.Next[1:]
		resp.Header.Set("DPoP-Nonce", nonces.Want)
	}
}

func (g *Gate) note(problem string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrong = append(g.wrong, problem)
}

func withoutQuery(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }
