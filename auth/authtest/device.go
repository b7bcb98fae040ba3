package authtest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DeviceRequest is a device authorization request that waits for its user (RFC 8628).
type DeviceRequest struct {
	UserCode string
	ClientID string
	Resource string
	Scopes   []string
	Expires  time.Time
}

// device is a device authorization.
type device struct {
	family   *family
	userCode string
	expiry   time.Time
	interval time.Duration // that its client has to leave between polls
	polled   time.Time
	decision decision
	used     bool
}

// decision is the user's.
type decision int

const (
	undecided decision = iota
	approved
	denied
)

// slower is what slow_down adds to the interval (RFC 8628 section 3.5).
const slower = 5 * time.Second

// DeviceRequests returns the requests that nobody has decided about and that have not expired, in order.
func (s *Server) DeviceRequests() []DeviceRequest {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	var waiting []DeviceRequest
	for _, d := range s.state.devices {
		if d.decision == undecided && time.Now().Before(d.expiry) {
			waiting = append(waiting, DeviceRequest{
				UserCode: d.userCode, ClientID: d.family.client, Resource: d.family.resource,
				Scopes: slices.Clone(d.family.scopes), Expires: d.expiry,
			})
		}
	}
	slices.SortFunc(waiting, func(a, b DeviceRequest) int {
		if c := a.Expires.Compare(b.Expires); c != 0 {
			return c
		}
		return strings.Compare(a.UserCode, b.UserCode)
	})
	return waiting
}

// ApproveDevice plays the user who enters a user code and approves. The error says that no request of
// that code waits.
func (s *Server) ApproveDevice(userCode string) error { return s.decide(userCode, approved) }

// DenyDevice plays the user who enters a user code and denies.
func (s *Server) DenyDevice(userCode string) error { return s.decide(userCode, denied) }

func (s *Server) decide(userCode string, is decision) error {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	for _, d := range s.state.devices {
		if d.userCode == userCode && d.decision == undecided && time.Now().Before(d.expiry) {
			d.decision = is
			return nil
		}
	}
	return fmt.Errorf("authtest: no device authorization request with user code %q waits for its user", userCode)
}

// serveDevice is the device authorization endpoint (RFC 8628 section 3.1).
func (s *Server) serveDevice(w http.ResponseWriter, r *http.Request) {
	form, ok := s.form(w, r)
	if !ok {
		return
	}
	c, e := s.authenticate(r, form)
	if e != nil {
		s.refuseClient(w, r, e)
		return
	}
	if c.grants != nil && !slices.Contains(c.grants, grantDeviceCode) {
		badRequest("unauthorized_client", "the client is not registered for this grant type").write(w)
		return
	}
	if e := s.refuses(DeviceEndpoint, form); e != nil {
		e.write(w)
		return
	}
	resource, e := s.checkResource(form)
	if e != nil {
		e.write(w)
		return
	}
	scopes, e := s.grantable(form.Get("scope"))
	if e != nil {
		e.write(w)
		return
	}
	code, text := "device-"+rand.Text(), rand.Text()
	d := &device{
		family:   &family{client: c.id, resource: resource, scopes: scopes, online: s.online(form)},
		userCode: text[:4] + "-" + text[4:8],
		expiry:   time.Now().Add(s.cfg.DeviceCodeTTL),
		interval: s.cfg.DeviceInterval,
	}
	s.state.mu.Lock()
	s.state.devices[code] = d
	s.state.mu.Unlock()
	page := s.Issuer + devicePage
	writeJSON(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": d.userCode,
		"verification_uri": page, "verification_uri_complete": page + "?user_code=" + url.QueryEscape(d.userCode),
		"expires_in": int64(s.cfg.DeviceCodeTTL / time.Second), "interval": int64(s.cfg.DeviceInterval / time.Second),
	})
}

// devicePage is where a user would enter the code. Here the test does, by [Server.ApproveDevice].
const devicePage = "/activate"

// pollDevice is the device code grant (RFC 8628 section 3.4).
func (s *Server) pollDevice(c *client, form url.Values) (*tokenResponse, *oauthError) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	d := s.state.devices[form.Get("device_code")]
	if d == nil || d.family.client != c.id || d.used {
		return nil, badRequest("invalid_grant", "the device code is unknown, used or another client's")
	}
	now := time.Now()
	early := !d.polled.IsZero() && now.Before(d.polled.Add(d.interval))
	d.polled = now
	switch {
	case !now.Before(d.expiry):
		return nil, badRequest("expired_token", "the device code has expired")
	case early:
		d.interval += slower
		return nil, badRequest("slow_down", "leave more time between polls")
	case d.decision == denied:
		return nil, badRequest("access_denied", "the user said no")
	case d.decision == undecided:
		return nil, badRequest("authorization_pending", "the user has not decided yet")
	}
	d.used = true
	t, _ := s.issue(d.family, d.family.scopes, c.mayRefresh() && !d.family.online)
	return t, nil
}
