package mcpgo_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	mcptransport "github.com/mark3labs/mcp-go/client/transport"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/mcpgo"
)

// grantingSource answers a challenge with a token that has one scope more. It
// has no events.
type grantingSource struct {
	mu         sync.Mutex
	token      *auth.Token
	challenges []string
}

func (s *grantingSource) Token(context.Context) (*auth.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == nil {
		return nil, auth.ErrNoToken
	}
	return s.token, nil
}

func (s *grantingSource) Resolve(_ context.Context, rejected *auth.Token, c auth.Challenge) (*auth.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rejected == s.token {
		s.challenges = append(s.challenges, fmt.Sprint(c.Error, c.Scopes))
		s.token = &auth.Token{AccessToken: fmt.Sprintf("level-%d", len(s.challenges))}
	}
	return s.token, nil
}

// A challenge in a tool's result is answered with a token that the server finds
// by the time that it is called again, wherever it looks for one.
func TestWrapStdio(t *testing.T) {
	variable, own := mcpgo.WithTokenVariable("TOKEN"), mcpgo.WithTokenFile("TOKEN_FILE", nil)
	for name, transport := range map[string]func(*testing.T, auth.Source) mcptransport.Interface{
		"restart": func(t *testing.T, src auth.Source) mcptransport.Interface {
			return mcpgo.Wrap(mcpgo.NewStdio(src, program(t), nil, self("plain"), variable, mcpgo.WithRestart()), src)
		},
		"token file": func(t *testing.T, src auth.Source) mcptransport.Interface {
			return mcpgo.Wrap(mcpgo.NewStdio(src, program(t), nil, self("plain"), own), src)
		},
		"mcp-go's transport": func(t *testing.T, src auth.Source) mcptransport.Interface {
			file, err := mcpgo.NewTokenFile(t.Context(), src, "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = file.Close() })
			stdio := mcptransport.NewStdioWithOptions(program(t), nil, nil, mcptransport.WithCommandFunc(
				mcpgo.CommandFunc(src, self("plain"), mcpgo.WithTokenFile("TOKEN_FILE", file))))
			return mcpgo.Wrap(stdio, src, mcpgo.WithPlacement(file.Place))
		},
	} {
		for era, opts := range eras {
			t.Run(name+" "+era, func(t *testing.T) {
				src := new(grantingSource)
				c := client.NewClient(transport(t, src), opts...)
				defer func() {
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				}()
				if err := c.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := initialize(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				text, err := callText(t.Context(), c, "guarded", nil)
				if err != nil || text != "level-2" {
					t.Errorf("the tool says %q, %v", text, err)
				}
				// One at start, ours, and one of the tool's.
				if got := fmt.Sprint(src.challenges); got != "[[] insufficient_scope[more]]" {
					t.Errorf("challenges %s", got)
				}
			})
		}
	}
}
