package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mcptokens/mcptokens/auth"
)

// The authorization server of the model test (model_test.go) is a few maps: it
// knows the truth about every token, misbehaves as the test says, and notes what
// no client may do.

// modelFault is what happens to one token request.
type modelFault uint8

const (
	faultNone modelFault = iota
	fault500
	fault503
	fault503After     // with Retry-After: 30
	fault429Date      // with a date in Retry-After, an hour ahead
	faultHTML         // 200, and a web page
	faultResetBefore  // the connection breaks before the request was processed
	faultResetAfter   // … after it was
	faultDial         // there is no connection
	faultSlow         // the answer takes 10 s
	faultVerySlow     // … longer than a client waits
	faultTruncated    // half of an answer
	faultInvalidGrant // the refresh token is dead
	faultInvalidScope //
	faultNarrow       // fewer scopes are granted
	faultNoRefresh    // no refresh token in the answer
	faultNoExpiry     // no expires_in in the answer
	modelFaults       // how many there are
)

var errReset = errors.New("connection reset")

// modelServer is the authorization server, and http.RoundTripper for client i
// by from(i).
type modelServer struct {
	cfg modelConfig

	mu      sync.Mutex
	number  int
	access  map[string]*modelAccess
	refresh map[string]*modelRefresh
	faults  []modelFault
	busy    int      // refreshes under way
	wrong   []string // violations
	story   []string // what happened

	requests [2]int
	explicit [2]int       // calls of Refresh under way, which do not wait for backoff
	quiet    [2]time.Time // no refresh with quietFor before, see modelRun.settle
	quietFor [2]string
	held     string         // the newest refresh token that a client has
	granted  bool           // a grant's answer may come into use after that of a refresh
	valid    [2]*auth.Token // what each client has and may not lose; nil: unknown
	last     [2]string      // the refresh token that was sent last
	latest   string         // the access token of the answer that arrived last; a slow one's number is older
}

type modelFamily struct{ dead bool }

type modelAccess struct {
	family *modelFamily
	scopes []string
	expiry time.Time // zero: unknown to clients, and forever
	dead   bool
}

type modelRefresh struct {
	family  *modelFamily
	scopes  []string
	spent   time.Time // zero: not
	answer  map[string]any
	excused bool // a crash or a broken store may have lost its successor

	// What clients were told: that there is a successor, that it is dead; and
	// what one client was: that it is refused, that answers were lost, and for
	// how long to wait.
	replaced, refused bool
	refusedTo         [2]bool
	lost              [2][]time.Time
	after             [2]time.Time
}

func newModelServer(cfg modelConfig) *modelServer {
	return &modelServer{cfg: cfg, access: make(map[string]*modelAccess), refresh: make(map[string]*modelRefresh)}
}

// note keeps what happened, to be printed with what was wrong.
func (s *modelServer) note(format string, args ...any) {
	s.story = append(s.story, time.Now().UTC().Format("02T15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (s *modelServer) violation(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	s.note("WRONG: "+format, args...)
}

// from is the way of client i to the server.
func (s *modelServer) from(i int) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) { return s.serve(i, r) })
}

func (s *modelServer) serve(i int, r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if r.URL.Path == "/revoke" {
		return s.serveRevocation(r, form)
	}
	token := form.Get("refresh_token")
	s.mu.Lock()
	s.requests[i]++
	fault := faultNone
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	if token != "" {
		s.arrived(i, token)
		s.busy++
		if s.busy > 1 {
			s.violation("%d refreshes at once", s.busy)
		}
	}
	s.mu.Unlock()

	resp, err := s.answer(i, r, form, token, fault)

	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.refresh[token]; t != nil && err == nil && fault != faultTruncated {
		t.lost[i] = nil // not one after the other
		if fault != fault503After && fault != fault429Date {
			t.after[i] = time.Time{} // it has changed its mind
		}
	}
	s.note("request of %d with %s %s: fault %d, %v", i, token, form.Get("scope"), fault, err)
	if token != "" {
		s.busy--
	}
	return resp, err
}

// arrived checks a refresh request against what its client knows.
func (s *modelServer) arrived(i int, token string) {
	now, t := time.Now(), s.refresh[token]
	if t == nil {
		s.violation("an unknown refresh token %s", token)
		return
	}
	s.last[i] = token
	if t.replaced && !t.excused && s.cfg.rotate {
		s.violation("client %d sends %s again though its successor had arrived", i, token)
	}
	if t.refused && !t.excused { // who was refused for another reason may try again later
		s.violation("client %d sends %s again though it was refused", i, token)
	}
	if s.explicit[i] > 0 || t.excused {
		return
	}
	if now.Before(t.after[i]) {
		s.violation("client %d sends %s %v before Retry-After allows it", i, token, t.after[i].Sub(now))
	}
	if s.quietFor[i] == token && now.Before(s.quiet[i]) {
		s.violation("client %d sends %s %v before it is due", i, token, s.quiet[i].Sub(now))
	}
	recent := 0
	for _, at := range t.lost[i] {
		if now.Sub(at) < 4*time.Second {
			recent++
		}
	}
	if recent > 1 {
		s.violation("client %d sends %s again after %d answers were just lost", i, token, recent)
	}
}

// answer processes a token request as its fault has it.
func (s *modelServer) answer(i int, r *http.Request, form url.Values, token string, fault modelFault) (*http.Response, error) {
	if fault == faultDial {
		return nil, &net.OpError{Op: "dial", Err: errReset}
	}
	switch fault {
	case fault500:
		return modelAnswer(500, "", "no"), nil
	case fault503:
		return modelAnswer(503, "", "no"), nil
	case fault503After:
		s.notBefore(i, token, 30*time.Second)
		return modelAnswer(503, "30", "no"), nil
	case fault429Date:
		s.notBefore(i, token, maxRetryAfter) // the most that is obeyed
		return modelAnswer(429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), "no"), nil
	case faultHTML:
		return modelAnswer(200, "", "<html>"), nil
	case faultInvalidScope:
		if form.Get("scope") == "" { // nothing else was asked for that could be meant
			s.refuse(i, token)
		}
		return modelAnswer(400, "", `{"error":"invalid_scope"}`), nil
	case faultResetBefore:
		s.noteLost(i, token)
		return nil, errReset
	case faultInvalidGrant:
		s.mu.Lock()
		if t := s.refresh[token]; t != nil {
			t.family.dead = true
		}
		s.mu.Unlock()
	}
	status, doc := s.process(form, token, fault)
	switch fault {
	case faultResetAfter, faultTruncated:
		switch {
		case fault == faultResetAfter:
			s.noteLost(i, token)
		case status == 200: // it was understood: there is no use in asking again
			s.clearLost(i, token)
			s.refuse(i, token)
		default:
			s.clearLost(i, token)
			s.refuse(i, token) // a broken refusal is one all the same
		}
		if fault == faultTruncated {
			return modelAnswer(status, "", `{"access_token":"half`), nil
		}
		return nil, errReset
	case faultSlow, faultVerySlow:
		if err := waitFor(r.Context(), map[modelFault]time.Duration{faultSlow: 10 * time.Second, faultVerySlow: time.Minute}[fault]); err != nil {
			s.noteLost(i, token)
			return nil, err
		}
	}
	s.delivered(i, token, status, doc)
	body, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return modelAnswer(status, "", string(body)), nil
}

func modelAnswer(status int, retryAfter, body string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	if retryAfter != "" {
		h.Set("Retry-After", retryAfter)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}

func waitFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *modelServer) notBefore(i int, token string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.refresh[token]; t != nil {
		t.after[i] = time.Now().Add(d).Truncate(time.Second) // a date has no fractions
	}
}

// refuse notes that client i was refused with a refresh token.
func (s *modelServer) refuse(i int, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.refresh[token]; t != nil {
		t.refusedTo[i] = true
	}
}

// forgive notes that client i waits for nothing any more.
func (s *modelServer) forgive(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet[i] = time.Time{}
	for _, t := range s.refresh {
		t.after[i], t.lost[i] = time.Time{}, nil
	}
}

// rejected notes that client i was answered with 401: it needs a token, and
// the next attempt is due earlier than one that nobody needs.
func (s *modelServer) rejected(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet[i] = time.Time{}
}

// calls is how many requests client i has sent.
func (s *modelServer) calls(i int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[i]
}

func (s *modelServer) noteLost(i int, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.refresh[token]; t != nil {
		t.lost[i] = append(t.lost[i], time.Now())
	}
}

func (s *modelServer) clearLost(i int, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.refresh[token]; t != nil {
		t.lost[i] = nil
	}
}

// process is what a well-behaved server does with a token request.
func (s *modelServer) process(form url.Values, token string, fault modelFault) (int, map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := strings.Fields(form.Get("scope"))
	if token == "" { // a grant's
		return 200, s.issue(new(modelFamily), asked, fault)
	}
	t := s.refresh[token]
	refuse := func() (int, map[string]any) { return 400, map[string]any{"error": "invalid_grant"} }
	switch {
	case t == nil || t.family.dead:
		return refuse()
	case !t.spent.IsZero() && time.Since(t.spent) < s.cfg.grace:
		return 200, t.answer
	case !t.spent.IsZero():
		t.family.dead = true // reuse: OAuth 2.1 section 4.3.1
		return refuse()
	}
	scopes := t.scopes
	if len(asked) > 0 {
		for _, a := range asked {
			if !slices.Contains(t.scopes, a) && s.cfg.widening == refuses {
				return 400, map[string]any{"error": "invalid_scope"}
			}
		}
		if s.cfg.widening == widens {
			scopes = asked
		} else {
			scopes = slices.DeleteFunc(slices.Clone(asked), func(a string) bool { return !slices.Contains(t.scopes, a) })
		}
	}
	doc := s.issue(t.family, scopes, fault)
	switch {
	case !s.cfg.rotate || fault == faultNoRefresh:
		if next, ok := doc["refresh_token"].(string); ok {
			delete(s.refresh, next)
		}
		delete(doc, "refresh_token")
	default:
		t.spent, t.answer = time.Now(), doc
	}
	return 200, doc
}

// issue makes an answer with an access token and a refresh token.
func (s *modelServer) issue(f *modelFamily, scopes []string, fault modelFault) map[string]any {
	s.number++
	a, r := "a"+strconv.Itoa(s.number), "r"+strconv.Itoa(s.number)
	if fault == faultNarrow && len(scopes) > 1 {
		scopes = scopes[:1]
	}
	doc := map[string]any{"access_token": a, "token_type": "Bearer", "scope": strings.Join(scopes, " "), "refresh_token": r}
	access := &modelAccess{family: f, scopes: scopes}
	if s.cfg.life > 0 && fault != faultNoExpiry {
		doc["expires_in"] = s.cfg.life.Seconds()
		access.expiry = time.Now().Add(s.cfg.life)
	}
	s.access[a] = access
	s.refresh[r] = &modelRefresh{family: f, scopes: scopes}
	return doc
}

// delivered notes what client i knows now.
func (s *modelServer) delivered(i int, token string, status int, doc map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.refresh[token]
	next, rotated := doc["refresh_token"].(string)
	switch {
	case status == 200:
		s.note("client %d has %v %v", i, doc["access_token"], doc["refresh_token"])
		s.latest, _ = doc["access_token"].(string)
		if rotated {
			s.held = next
			if token == "" || s.granted {
				s.held, s.granted = "", true // a grant's may still be dropped; see modelRun.got
			}
		}
		if t != nil {
			t.replaced = t.replaced || rotated
			t.after, t.lost = [2]time.Time{}, [2][]time.Time{}
			t.refusedTo = [2]bool{} // it works after all, as the other client sees too
		}
		s.quiet = [2]time.Time{}
		s.valid = [2]*auth.Token{}
		if t != nil {
			a := doc["access_token"].(string)
			s.valid[i] = &auth.Token{AccessToken: a, Expiry: s.access[a].expiry}
		}
	case t != nil && doc["error"] == "invalid_grant":
		t.refused = true
	}
}

// serveRevocation is RFC 7009, and goes well always.
func (s *modelServer) serveRevocation(_ *http.Request, form url.Values) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.refresh[form.Get("token")]; t != nil {
		t.family.dead, t.refused = true, true
	}
	if a := s.access[form.Get("token")]; a != nil {
		a.dead = true
	}
	return modelAnswer(200, "", ""), nil
}

// newToken is one that the server issued out of the blue.
func (s *modelServer) newToken(scopes ...string) *auth.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	doc := s.issue(new(modelFamily), scopes, faultNone)
	a, r := doc["access_token"].(string), doc["refresh_token"].(string)
	return &auth.Token{AccessToken: a, RefreshToken: r, Expiry: s.access[a].expiry, Scopes: scopes}
}

// excuse forgives what happens to all refresh tokens so far: their successors
// may be lost.
func (s *modelServer) excuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.refresh {
		t.excused = true
	}
}

// refreshable reports whether token would still be exchanged.
func (s *modelServer) refreshable(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.refresh[token]
	return t != nil && !t.family.dead && !t.refused && (t.spent.IsZero() || time.Since(t.spent) < s.cfg.grace)
}

// works reports whether the MCP server takes an access token.
func (s *modelServer) works(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[token]
	return a != nil && !a.dead && (a.expiry.IsZero() || time.Now().Before(a.expiry))
}

// kill revokes an access token.
func (s *modelServer) kill(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.access[token]; a != nil {
		a.dead = true
	}
}
