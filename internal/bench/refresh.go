package main

import (
	"context"
	"io"
	"net/http"
	"strings"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"golang.org/x/oauth2"
)

// issuing is a token endpoint without a network.
type issuing struct{ answer string }

func (i issuing) RoundTrip(req *http.Request) (*http.Response, error) {
	_ = req.Body.Close()
	return &http.Response{
		StatusCode: http.StatusOK, Request: req, ContentLength: int64(len(i.answer)),
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(i.answer)),
	}, nil
}

// refreshCycle compares one refresh, from the decision to the token in use,
// without the network. The floor is what net/http takes for the request alone.
func refreshCycle() ([]variant, func()) {
	ctx := context.Background()
	base := issuing{tokenJSON}
	client := &http.Client{Transport: base}
	m, end := newManager("https://as.example.com/token", base)
	oauth := context.WithValue(ctx, oauth2.HTTPClient, client)
	handler := mcptransport.NewOAuthHandler(mcptransport.OAuthConfig{ClientID: "bench", AuthServerMetadataURL: "https://as.example.com/metadata", HTTPClient: &http.Client{Transport: described{base}}})
	_ = must(handler.GetServerMetadata(ctx))
	return []variant{
		{"floor: the request alone", func(n int) {
			for range n {
				_ = must(post(ctx, client, "https://as.example.com/token"))
			}
		}},
		{"Manager.Refresh", func(n int) {
			for range n {
				_ = must(m.Refresh(ctx))
			}
		}},
		{"oauth2: a new TokenSource", func(n int) {
			for range n {
				_ = must(oauthConfig.TokenSource(oauth, &oauth2.Token{RefreshToken: "refresh"}).Token())
			}
		}},
		{"mcp-go: OAuthHandler.RefreshToken", func(n int) {
			for range n {
				_ = must(handler.RefreshToken(ctx, "refresh"))
			}
		}},
	}, end
}

// described adds the metadata that mcp-go's handler asks for.
type described struct{ issuing }

func (d described) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost {
		return d.issuing.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	req.Body = http.NoBody
	return issuing{`{"issuer":"https://as.example.com","authorization_endpoint":"https://as.example.com/authorize","token_endpoint":"https://as.example.com/token","response_types_supported":["code"]}`}.RoundTrip(req)
}
