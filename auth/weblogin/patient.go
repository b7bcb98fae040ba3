package weblogin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/loginwait"
)

// Patient is a source of a pool whose calls wait for the person who has to log in,
// for a while: they get their token as soon as the login is done, on whichever
// replica. Who does not want to wait uses the source itself.
type Patient struct {
	// Source is where tokens come from. Required.
	Source *auth.PoolSource
	// Wait is how long a call waits for a person, within its context. Then it gets
	// the *[auth.LoginRequiredError]. Default: 0, it does not wait, but for calls
	// whose user is logging in, as mcpgo.ElicitLogin knows.
	Wait time.Duration
	// Tell is called with the error before the wait, to show the link. Default: none.
	Tell func(ctx context.Context, required *auth.LoginRequiredError)
}

var (
	_ auth.Source   = (*Patient)(nil)
	_ auth.Accepter = (*Patient)(nil)
)

// Token implements [auth.Source].
func (p *Patient) Token(ctx context.Context) (*auth.Token, error) { return p.Source.Token(ctx) }

// Accepted implements [auth.Accepter].
func (p *Patient) Accepted(t *auth.Token) { p.Source.Accepted(t) }

// Resource returns the URL of the resource.
func (p *Patient) Resource() string { return p.Source.Resource() }

// pollEvery is how often a source is asked again whose store gives no hints. A
// question costs one look into the store at most.
const pollEvery = time.Second

// Resolve implements [auth.Source].
func (p *Patient) Resolve(ctx context.Context, rejected *auth.Token, c auth.Challenge) (t *auth.Token, err error) {
	t, err = p.Source.Resolve(ctx, rejected, c)
	var required *auth.LoginRequiredError
	wait := max(p.Wait, loginwait.From(ctx))
	if !errors.As(err, &required) || wait <= 0 {
		return t, err
	}
	if p.Tell != nil {
		p.Tell(ctx, required)
	}
	// Inside of Use the manager is not closed meanwhile.
	used := p.Source.Use(func(m *auth.Manager) error {
		t, err = p.wait(ctx, wait, m, rejected, c)
		return nil
	})
	return t, errors.Join(err, used)
}

func (p *Patient) wait(ctx context.Context, wait time.Duration, m *auth.Manager, rejected *auth.Token, c auth.Challenge) (*auth.Token, error) {
	events, stop := m.Subscribe()
	defer stop()
	over := time.NewTimer(wait)
	defer over.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		t, err := m.Resolve(ctx, rejected, c) // also before the first wait: the login may be done
		var required *auth.LoginRequiredError
		if !errors.As(err, &required) {
			return t, err
		}
		for waiting := true; waiting; {
			select {
			case e, open := <-events:
				waiting = open && e.Type != auth.EventTokenUpdated
			case <-poll.C:
				waiting = false
			case <-over.C:
				return nil, err
			case <-ctx.Done():
				return nil, err
			}
		}
	}
}

// BaseTransport is that of the source.
func (p *Patient) BaseTransport() http.RoundTripper { return p.Source.BaseTransport() }
