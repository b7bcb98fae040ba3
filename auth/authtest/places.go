package authtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// places are where the endpoints of a server are.
type places struct {
	urls  map[Endpoint]string // what is advertised
	at    map[string]Endpoint // by path; by host and path at another host than the server's own
	other map[string]bool     // the hosts of the latter
	hosts []string            // all names of the server, with ports
}

// endpoints are those of an authorization server that a request can be for.
var endpoints = []Endpoint{
	AuthorizeEndpoint, TokenEndpoint, RegistrationEndpoint, RevocationEndpoint, IntrospectionEndpoint, DeviceEndpoint, PAREndpoint,
}

// findPlaces says where the endpoints are, or which field of the configuration cannot be used.
func (s *Server) findPlaces() (places, error) {
	p := places{urls: map[Endpoint]string{}, at: map[string]Endpoint{}, other: map[string]bool{}}
	own, err := url.Parse(s.URL)
	if err != nil || own.Host == "" || own.Path != "" || own.RawQuery != "" || own.Scheme != "http" && own.Scheme != "https" {
		return p, fmt.Errorf("authtest: Config.URL %q: use scheme and host, such as https://login.example.com", s.URL)
	}
	if s.cfg.URL != "" {
		p.hosts = append(p.hosts, hostOf(s.URL))
	}
	metadata := s.cfg.MetadataAt
	if metadata == nil {
		path := s.cfg.IssuerPath
		metadata = []string{wellKnownOAuth + path, wellKnownOIDC + path, path + wellKnownOIDC}
	}
	for i, path := range metadata {
		if !strings.HasPrefix(path, "/") {
			return p, fmt.Errorf("authtest: Config.MetadataAt: %q does not begin with a slash", path)
		}
		if i == 0 {
			p.urls[MetadataEndpoint] = s.URL + path
		}
		p.at[path] = MetadataEndpoint
	}
	for _, e := range endpoints {
		at := s.cfg.Endpoints[e]
		switch {
		case at == "":
			at = s.Issuer + "/" + string(e)
		case strings.HasPrefix(at, "/"):
			at = s.URL + at
		}
		u, err := url.Parse(at)
		if err != nil || u.Host == "" {
			return p, fmt.Errorf("authtest: Config.Endpoints: %q for %s is no absolute URL, and no path", at, e)
		}
		p.urls[e] = at
		if e == RevocationEndpoint && at == p.urls[TokenEndpoint] {
			continue // serveToken tells the requests apart
		}
		if u.Host == own.Host {
			p.at[u.Path] = e
			continue
		}
		p.at[u.Host+u.Path] = e
		if !p.other[u.Host] {
			p.other[u.Host] = true
			p.hosts = append(p.hosts, hostOf(at))
		}
	}
	for e := range s.cfg.Endpoints {
		if p.urls[e] == "" || e == MetadataEndpoint {
			return p, fmt.Errorf("authtest: Config.Endpoints: %s is no endpoint of the authorization server that can have a place of its own", e)
		}
	}
	return p, nil
}

// hostOf returns host and port of a URL, for those who dial.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return u.Hostname() + ":" + port
}

// fromOutside is a request for a name as it reaches a server on the Internet. MCP handlers refuse one that
// comes to a loopback address under another host's name, as web pages do that rebind theirs.
func (s *Server) fromOutside(r *http.Request) *http.Request {
	host := r.Host
	if !strings.Contains(host, ":") {
		host += ":443"
	}
	if s.wires.address(host) == host {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 443}))
}

// called returns the URL that a request was sent to.
func (s *Server) called(r *http.Request) string {
	if s.places.other[r.Host] {
		return s.places.urls[s.places.at[r.Host+r.URL.Path]]
	}
	return s.URL + r.URL.Path
}

// route finds the endpoint a request is for.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	elsewhere := s.places.other[r.Host]
	at := r.URL.Path
	if elsewhere {
		at = r.Host + at
	}
	switch e := s.places.at[at]; {
	case e == MetadataEndpoint:
		s.handle(e, w, r, s.serveMetadata)
	case e == AuthorizeEndpoint:
		s.handle(e, w, r, s.serveAuthorize)
	case e == TokenEndpoint:
		s.handle(e, w, r, s.serveToken)
	case e == RevocationEndpoint:
		s.handle(e, w, r, s.serveRevoke)
	case e == IntrospectionEndpoint:
		s.handle(e, w, r, s.serveIntrospect)
	case e == DeviceEndpoint:
		s.handle(e, w, r, s.serveDevice)
	case e == PAREndpoint && s.cfg.PAR:
		s.handle(e, w, r, s.servePush)
	case e == RegistrationEndpoint && !s.cfg.NoRegistration:
		s.handle(e, w, r, s.serveRegister)
	case !elsewhere && r.URL.Path == s.cfg.IssuerPath+devicePage:
		_, _ = w.Write([]byte("The users of this server are in the test: see Server.ApproveDevice.\n"))
	case !elsewhere && e == "":
		for _, res := range s.resources() {
			if res.protection.SameOrigin && res.owns(r.URL.Path) {
				res.route(w, r)
				return
			}
		}
		http.NotFound(w, r)
	default:
		http.NotFound(w, r)
	}
}

// Reply is what an endpoint is about to answer: see [Config].Rewrite.
type Reply struct {
	Status int
	Header http.Header // the Location of a redirect, for instance
	// Document are the members of a JSON answer, nil if it is none. What is in it in the end is sent.
	Document map[string]any
	// Body is sent in its place if it is not nil. Default: nil, or an answer that is not JSON.
	Body []byte
}

// rewriting lets Config.Rewrite change what an endpoint answers.
func (s *Server) rewriting(e Endpoint, next http.HandlerFunc) http.HandlerFunc {
	if s.cfg.Rewrite == nil || e == ResourceMetadataEndpoint {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		held := &answer{status: http.StatusOK, header: http.Header{}}
		next(held, r)
		a := Reply{Status: held.status, Header: held.header}
		if json.Unmarshal(held.body, &a.Document) != nil || a.Document == nil {
			a.Document, a.Body = nil, held.body
		}
		s.cfg.Rewrite(e, r, &a)
		if a.Body == nil && a.Document != nil {
			a.Body, _ = json.Marshal(a.Document) // it came from JSON; what cannot be encoded is the test's mistake, and shows
		}
		for name, values := range a.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
	}
}
