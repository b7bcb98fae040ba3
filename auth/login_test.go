package auth_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/browser"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// person is a user agent whose user takes a while, and the record of what the
// user was bothered with.
type person struct {
	auth.UserAgent
	takes time.Duration

	mu       sync.Mutex
	visits   []url.Values // the queries of the authorization requests
	finished []error
	left     time.Time // when Visit was given up
}

// asked is a person with a headless browser at k.
func (k *kit) asked(takes time.Duration) *person {
	return &person{UserAgent: browser.Headless{Client: k.srv.Client(), RedirectURI: callback}, takes: takes}
}

// bothering is k.discovered with p as the user.
func (k *kit) bothering(p *person) auth.Config {
	cfg := k.discovered()
	cfg.Grant = grant.AuthorizationCode{UserAgent: p}
	return cfg
}

func (p *person) Start(ctx context.Context, preferred []string) (auth.UserAgentSession, error) {
	s, err := p.UserAgent.Start(ctx, preferred)
	return &personSession{s, p}, err
}

// browsers is how many browser windows were opened.
func (p *person) browsers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.visits)
}

// visit is the authorization request number i.
func (p *person) visit(i int) url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.visits[i]
}

// gaveUp is when the last wait for the user was abandoned; zero: never.
func (p *person) gaveUp() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left
}

type personSession struct {
	auth.UserAgentSession
	p *person
}

func (s *personSession) Visit(ctx context.Context, target, state string) (url.Values, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	s.p.mu.Lock()
	s.p.visits = append(s.p.visits, u.Query())
	s.p.mu.Unlock()
	timer := time.NewTimer(s.p.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.UserAgentSession.Visit(ctx, target, state)
	case <-ctx.Done():
		s.p.mu.Lock()
		s.p.left = time.Now()
		s.p.mu.Unlock()
		return nil, ctx.Err()
	}
}

func (s *personSession) Finish(err error) {
	s.p.mu.Lock()
	s.p.finished = append(s.p.finished, err)
	s.p.mu.Unlock()
	s.UserAgentSession.Finish(err)
}

// mcp-go's discovery probe gives up after 5 s and comes back: the login that
// it started goes on and is the one that the next request waits for.
func TestLoginOutlivesItsCaller(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(20 * time.Second)
		m := k.manager(k.bothering(p))
		began := time.Now()
		probe, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := m.Resolve(probe, nil, k.unauthorized()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the probe got %v", err)
		}
		if i := m.Info(); !i.Authorizing || i.State != auth.StateNone {
			t.Errorf("info %+v, want the login to go on", i)
		}
		tok, err := m.Resolve(t.Context(), nil, k.unauthorized())
		if err != nil || k.call(tok) != 200 {
			t.Fatalf("the second caller got %v, %v", tok, err)
		}
		if time.Since(began) != 20*time.Second || p.browsers() != 1 || k.srv.Counts().Authorize != 1 {
			t.Errorf("after %v with %d browsers and %d authorizations, want 20 s with one", time.Since(began), p.browsers(), k.srv.Counts().Authorize)
		}
	})
}

// A hundred callers, by challenge and by Authorize, share one login, and those
// who leave abort nothing.
func TestOneLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(10 * time.Second)
		m := k.manager(k.bothering(p))
		got := make([]*auth.Token, 100)
		together(100, func(i int) {
			ctx := t.Context()
			if i%3 == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			var err error
			if i%2 == 0 {
				got[i], err = m.Resolve(ctx, nil, k.unauthorized())
			} else {
				got[i], err = m.Authorize(ctx)
			}
			if (i%3 == 0) != errors.Is(err, context.DeadlineExceeded) || (i%3 != 0) != (err == nil) {
				t.Errorf("caller %d: %v", i, err)
			}
		})
		for i, tok := range got {
			if i%3 != 0 && tok.AccessToken != got[1].AccessToken {
				t.Fatalf("caller %d got %v", i, tok)
			}
		}
		if c := k.srv.Counts(); c.Authorize != 1 || c.Token != 1 || c.Register != 1 || p.browsers() != 1 {
			t.Errorf("%d authorizations, %d token requests, %d registrations, %d browsers, want one each", c.Authorize, c.Token, c.Register, p.browsers())
		}
	})
}

// Half a minute after the last caller has gone the login is given up, and
// nobody is punished for it: the next challenge opens a browser at once.
func TestLoginThatNobodyWaitsFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(5 * time.Minute)
		m := k.manager(k.bothering(p))
		began := time.Now()
		// Callers come and go; the last to leave does so after 60 s.
		callers := []struct{ comes, leaves time.Duration }{{0, 5}, {34, 39}, {40, 45}, {41, 60}, {46, 50}}
		together(len(callers), func(i int) {
			time.Sleep(callers[i].comes * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), (callers[i].leaves-callers[i].comes)*time.Second)
			defer cancel()
			if _, err := m.Resolve(ctx, nil, k.unauthorized()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("caller %d: %v", i, err)
			}
		})
		// And one more, for so short a time that the half minute is the old one's no more.
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Resolve(ctx, nil, k.unauthorized()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(29 * time.Second)
		if !p.gaveUp().IsZero() || p.browsers() != 1 {
			t.Fatalf("given up at %v with %d browsers", p.gaveUp(), p.browsers())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := p.gaveUp().Sub(began); got != 101*time.Second {
			t.Fatalf("given up after %v, want 60+10+1+30 s", got)
		}
		if i := m.Info(); i.Authorizing || i.LastError != nil {
			t.Errorf("info %+v, want nothing under way and no error", i)
		}
		p.takes = 0
		if _, err := m.Resolve(t.Context(), nil, k.unauthorized()); err != nil || p.browsers() != 2 {
			t.Errorf("the next challenge: %v with %d browsers in all, want 2", err, p.browsers())
		}
	})
}

// A login that ends while nobody waits is not lost.
func TestLoginThatEndsUnattended(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(20 * time.Second)
		m := k.manager(k.bothering(p))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := m.Resolve(ctx, nil, k.unauthorized()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		time.Sleep(time.Hour / 2)
		if status := k.call(mustToken(t, m)); status != 200 || p.browsers() != 1 {
			t.Errorf("status %d after %d browsers", status, p.browsers())
		}
	})
}

// Close ends a login, however patient it is, and its callers with ErrClosed.
func TestCloseEndsTheLogin(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(5 * time.Minute)
		m := k.manager(k.bothering(p))
		began := time.Now()
		waiting := make(chan error, 1)
		go func() {
			_, err := m.Resolve(context.WithoutCancel(t.Context()), nil, k.unauthorized())
			waiting <- err
		}()
		synctest.Wait()
		left, cancel := context.WithTimeout(t.Context(), time.Second) // one whose absence runs a timer
		defer cancel()
		if _, err := m.Authorize(left); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; err != auth.ErrClosed {
			t.Errorf("the caller got %v, want ErrClosed", err)
		}
		if time.Since(began) != time.Second || len(p.finished) != 1 || p.finished[0] == nil {
			t.Errorf("closed after %v; the user was told %v", time.Since(began), p.finished)
		}
		if _, err := m.Authorize(t.Context()); err != auth.ErrClosed {
			t.Errorf("Authorize afterwards: %v, want ErrClosed", err)
		}
	})
}

// The user says no: everybody hears it, nobody asks again for half a minute,
// then for a whole one, except somebody who means it.
func TestLoginDenied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(time.Second)
		m := k.manager(k.bothering(p))
		k.srv.InjectAlways(authtest.AuthorizeEndpoint, authtest.OAuthError("access_denied", 0))
		want := func(browsers int, resolve func(context.Context) (*auth.Token, error)) {
			t.Helper()
			_, err := resolve(t.Context())
			ae := asError[*auth.AuthorizationError](t, err)
			if ae.Code != "access_denied" || ae.Issuer != k.srv.Issuer || p.browsers() != browsers {
				t.Fatalf("%v with %d browsers, want access_denied with %d", err, p.browsers(), browsers)
			}
		}
		challenge := func(ctx context.Context) (*auth.Token, error) { return m.Resolve(ctx, nil, k.unauthorized()) }
		together(20, func(int) { want(1, challenge) })
		time.Sleep(29 * time.Second)
		want(1, challenge)
		if i := m.Info(); i.LastError == nil || i.State != auth.StateNone {
			t.Errorf("info %+v", i)
		}
		want(2, m.Authorize) // the user pressed the button
		time.Sleep(59 * time.Second)
		want(2, challenge)
		time.Sleep(time.Second)
		want(3, challenge)
		if len(p.finished) != 3 || p.finished[0] == nil {
			t.Errorf("the user was told %v, want the refusals", p.finished)
		}
		k.srv.ClearFaults(authtest.AuthorizeEndpoint)
		if tok, err := m.Authorize(t.Context()); err != nil || k.call(tok) != 200 || p.finished[3] != nil {
			t.Errorf("the user thought better of it: %v, %v", tok, err)
		}
	})
}

// Where only an administrator may consent, nobody gets past a page that asks for
// consent (anthropics/claude-code#49722, modelcontextprotocol/inspector#2068).
//
//compat:asking consent that only an administrator may give (Microsoft Entra ID)
//compat:default prompt=consent is sent with `offline_access`, but not in the login after one that nobody answered
//compat:setting Config.Requests.Authorization
//compat:attack same
func TestConsentThatOnlyAnAdministratorMayGive(t *testing.T) {
	for name, tt := range map[string]struct {
		refused authtest.Fault // by the person, or by nobody
		set     map[string]string
		wait    time.Duration // before the next login
		store   auth.Store
		prompts []string // of each login
	}{
		"no answer":               {refused: authtest.Delay(time.Hour), prompts: []string{"consent", "", "consent"}},
		"no answer, shared store": {refused: authtest.Delay(time.Hour), store: new(auth.MemoryStore), prompts: []string{"consent", "", "consent"}},
		"the person says no":      {refused: authtest.OAuthError("access_denied", 0), prompts: []string{"consent", "consent", "consent"}},
		"another refusal":         {refused: authtest.OAuthError("server_error", 0), prompts: []string{"consent", "consent", "consent"}},
		"long ago":                {refused: authtest.Delay(time.Hour), wait: 2 * time.Hour, prompts: []string{"consent", "consent", "consent"}},
		"the program's prompt":    {refused: authtest.Delay(time.Hour), set: map[string]string{"prompt": "select_account"}, prompts: []string{"select_account", "select_account", "select_account"}},
		"left out by the program": {refused: authtest.Delay(time.Hour), set: map[string]string{"prompt": ""}, prompts: []string{"", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				k := newKit(t, authtest.Config{ScopesSupported: []string{"read", "offline_access"}}, authtest.Protection{Scopes: []string{"read"}})
				p := k.asked(0)
				cfg := k.bothering(p)
				cfg.AuthorizationTimeout = 5 * time.Minute
				cfg.Requests.Authorization, cfg.Store = tt.set, tt.store
				m := k.manager(cfg)
				k.srv.Inject(authtest.AuthorizeEndpoint, tt.refused)
				if _, err := m.Resolve(t.Context(), nil, k.unauthorized("read")); err == nil {
					t.Fatal("logged in")
				}
				time.Sleep(tt.wait)
				tok, err := m.Authorize(t.Context())
				if err != nil || tok.RefreshToken == "" {
					t.Fatalf("the next login: %v, %v", tok, err)
				}
				if err := k.relogin(m); err != nil {
					t.Fatal(err)
				}
				var prompts []string
				for i := range p.browsers() {
					prompts = append(prompts, p.visit(i).Get("prompt"))
				}
				if !slices.Equal(prompts, tt.prompts) {
					t.Errorf("prompts %q, want %q", prompts, tt.prompts)
				}
			})
		})
	}
}

// A login that takes longer than allowed is over, and counts as a failure.
func TestAuthorizationTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		p := k.asked(time.Hour)
		cfg := k.bothering(p)
		cfg.AuthorizationTimeout = time.Minute
		m := k.manager(cfg)
		began := time.Now()
		for range 2 {
			_, err := m.Resolve(t.Context(), nil, k.unauthorized())
			if asError[*auth.AuthorizationError](t, err); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the deadline", err)
			}
		}
		if time.Since(began) != time.Minute || p.browsers() != 1 {
			t.Errorf("after %v with %d browsers, want one minute with one", time.Since(began), p.browsers())
		}
	})
}

// Another process logged in first: its token is used and nobody is asked.
func TestLoginElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{}, authtest.Protection{})
		shared := new(auth.MemoryStore)
		mine, theirs := k.asked(0), k.asked(0)
		one, two := k.bothering(mine), k.bothering(theirs)
		one.Store, two.Store = struct{ auth.Store }{shared}, struct{ auth.Store }{shared} // without hints
		a, b := k.manager(one), k.manager(two)
		if _, err := a.Token(t.Context()); err != auth.ErrNoToken { // a has looked already
			t.Fatal(err)
		}
		want, err := b.Authorize(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Resolve(t.Context(), nil, k.unauthorized())
		if err != nil || got.AccessToken != want.AccessToken || mine.browsers() != 0 {
			t.Errorf("Resolve = %v, %v with %d browsers, want the other's token", got, err, mine.browsers())
		}

		// But not one that the server has just rejected.
		if _, err := k.send(b, want); err != nil {
			t.Fatal(err)
		}
		k.srv.RevokeAll()
		if _, err := k.send(b, want); err != nil || theirs.browsers() != 2 {
			t.Errorf("Resolve: %v with %d browsers, want a login", err, theirs.browsers())
		}
	})
}

// What another process stores is not adopted if it is the very token that the
// server has just rejected.
func TestRejectedTokenIsStoredAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := newKit(t, authtest.Config{NoRefreshToken: true}, authtest.Protection{})
		p := k.asked(0)
		cfg := k.bothering(p)
		cfg.Store = new(auth.MemoryStore)
		a, b := k.manager(cfg), k.manager(cfg)
		tok, err := k.send(a, nil)
		if err != nil {
			t.Fatal(err)
		}
		k.srv.RevokeAll()
		if err := b.SetToken(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
		if got, err := k.send(a, tok); err != nil || p.browsers() != 2 {
			t.Errorf("Resolve = %v, %v with %d browsers, want a second login", got, err, p.browsers())
		}
	})
}
