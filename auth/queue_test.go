package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/admission"
	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/grant"
)

// crowd is a pool whose tokens have expired, and how many requests its server had
// at once. The server takes a second for each.
type crowd struct {
	*kit
	cfg  auth.Config
	pool *auth.Pool
	n    int

	mu            sync.Mutex
	running, most int
}

func newCrowd(k *kit, n int, change func(*auth.Config)) *crowd {
	c := &crowd{kit: k, n: n}
	cfg := k.onDemand()
	inner := k.srv.Client().Transport
	cfg.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		c.mu.Lock()
		c.running++
		c.most = max(c.most, c.running)
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			c.running--
			c.mu.Unlock()
		}()
		resp, err := inner.RoundTrip(r)
		time.Sleep(time.Second)
		return resp, err
	})}
	change(&cfg)
	c.cfg = cfg
	c.pool = k.pool(auth.PoolConfig{Config: always(cfg)})
	for i := range n {
		expire(k.give(c.pool, fmt.Sprint("user", i)))
	}
	return c
}

// ask has everybody ask for a token, and returns how many got one.
func (c *crowd) ask(ctx context.Context) (served int) {
	var mu sync.Mutex
	together(c.n, func(i int) {
		tok, err := c.pool.Source(fmt.Sprint("user", i), c.res.URL).Token(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && tok != nil {
			served++
		}
	})
	return served
}

// All tokens of a pool expire together. The server is asked no faster than it
// answers, and who waits for longer than a refresh may take loses nothing.
func TestCrowdWaitsInAQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCrowd(newKit(t, authtest.Config{}, authtest.Protection{}), 300, func(cfg *auth.Config) { cfg.TokenRequests = &admission.Gate{Most: 4} })
		began := time.Now()
		if n := c.ask(t.Context()); n != 300 {
			t.Errorf("%d of 300 were served", n)
		}
		if took := time.Since(began); c.most != 4 || took != 75*time.Second {
			t.Errorf("at most %d requests at once, %v in all", c.most, took)
		}
		c.wantRefreshes(300)
	})
}

// The queue is one for a pool whose users each have a configuration, and for managers
// that are given the same gate.
func TestOneQueueForSeveralConfigurations(t *testing.T) {
	const n = 70 // more than the default lets in
	for name, ask := range map[string]func(c *crowd, ctx context.Context, subjects []string){
		"of a pool": func(c *crowd, ctx context.Context, subjects []string) {
			p := c.kit.pool(auth.PoolConfig{Config: func(string, string) (*auth.Config, error) { cfg := c.cfg; return &cfg, nil }})
			for _, s := range subjects {
				expire(c.give(p, s))
			}
			together(len(subjects), func(i int) {
				if _, err := p.Source(subjects[i], c.res.URL).Token(ctx); err != nil {
					c.t.Error(err)
				}
			})
		},
		"with one gate": func(c *crowd, ctx context.Context, subjects []string) {
			c.cfg.TokenRequests = new(admission.Gate)
			managers := make([]*auth.Manager, len(subjects))
			for i := range managers {
				m, tok := c.started(c.cfg)
				expire(tok)
				managers[i] = m
			}
			together(len(subjects), func(i int) {
				if _, err := managers[i].Token(ctx); err != nil {
					c.t.Error(err)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCrowd(newKit(t, authtest.Config{}, authtest.Protection{}), 0, func(*auth.Config) {})
				subjects := make([]string, n)
				for i := range subjects {
					subjects[i] = fmt.Sprint("user", i)
				}
				began := time.Now()
				ask(c, t.Context(), subjects)
				c.mu.Lock()
				defer c.mu.Unlock()
				if took := time.Since(began) % time.Minute; c.most != admission.DefaultMost || took != 2*time.Second {
					t.Errorf("at most %d requests at once, %v after the tokens died", c.most, took)
				}
			})
		})
	}
}

// So do those wait who get their first token by a grant that needs no person.
func TestFirstTokensWaitInTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCrowd(newKit(t, authtest.Config{}, authtest.Protection{}), 0, func(cfg *auth.Config) {
			cfg.TokenRequests = &admission.Gate{Most: 3}
			cfg.Client.Secret, cfg.Grant = "secret", grant.ClientCredentials{}
		})
		c.srv.AddClient(clientID, "secret")
		first := func(i int) error {
			_, err := c.pool.Source(fmt.Sprint("user", i), c.res.URL).Resolve(t.Context(), nil, c.unauthorized())
			return err
		}
		began := time.Now()
		together(12, func(i int) {
			if err := first(i); err != nil {
				t.Error(err)
			}
		})
		if took := time.Since(began); c.most != 3 || took != 4*time.Second {
			t.Errorf("at most %d requests at once, in %v", c.most, took)
		}
		// Those in the queue end with their pool, and are told why.
		got := make(chan error, 20)
		for i := range 20 {
			go func() { got <- first(100 + i) }()
		}
		synctest.Wait()
		if err := c.pool.Close(); err != nil {
			t.Error(err)
		}
		served := 0
		for range 20 {
			switch err := <-got; {
			case err == nil:
				served++
			case !errors.Is(err, auth.ErrClosed):
				t.Error(err)
			}
		}
		if served > 3 {
			t.Errorf("%d were served after Close", served)
		}
	})
}

// Who has waited for long enough gets an error that says so, and a later call waits again.
func TestQueueHasAnEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCrowd(newKit(t, authtest.Config{}, authtest.Protection{}), 2, func(cfg *auth.Config) { cfg.TokenRequests = &admission.Gate{Most: 1} })
		busy := c.cfg.TokenRequests.Ticket(c.srv.Issuer)
		if err := busy.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := c.pool.Source("user0", c.res.URL).Token(t.Context())
		if e := asError[*auth.TokenError](t, err); !e.Retryable() || e.NextAttempt.IsZero() || time.Since(began) < 5*time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		busy.Done(time.Millisecond, false)
		time.Sleep(time.Minute)
		if n := c.ask(t.Context()); n != 2 {
			t.Errorf("%d of 2 were served", n)
		}
	})
}

// A server that says it is busy is asked by fewer at once.
func TestCrowdAtABusyServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCrowd(newKit(t, authtest.Config{}, authtest.Protection{}), 40, func(cfg *auth.Config) { cfg.TokenRequests = &admission.Gate{Most: 16} })
		for range 16 {
			c.srv.Inject(authtest.TokenEndpoint, authtest.Status(http.StatusServiceUnavailable))
		}
		first := time.AfterFunc(1500*time.Millisecond, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.most = 0
		})
		defer first.Stop()
		if n := c.ask(t.Context()); n != 40 {
			t.Errorf("%d of 40 were served", n)
		}
		if c.most > 12 {
			t.Errorf("%d requests at once after the server was busy", c.most)
		}
	})
}

// Who leaves the queue keeps the token, and Close ends the wait of all at once.
func TestQueueIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCrowd(newKit(t, authtest.Config{}, authtest.Protection{}), 20, func(cfg *auth.Config) { cfg.TokenRequests = &admission.Gate{Most: 1} })
		ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer cancel()
		if n := c.ask(ctx); n != 4 {
			t.Errorf("%d were served in 4.5 s", n)
		}
		got := make(chan error, 1)
		go func() {
			_, err := c.pool.Source("user19", c.res.URL).Token(t.Context())
			got <- err
		}()
		synctest.Wait()
		began := time.Now()
		if err := c.pool.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Close took %v", took)
		}
		if err := <-got; err != nil && !errors.Is(err, auth.ErrClosed) {
			t.Errorf("%v", err)
		}
		if n := c.srv.Counts(); n.ReusedRefreshTokens != 0 || n.Refreshes > 7 {
			t.Errorf("%+v", n)
		}
	})
}
