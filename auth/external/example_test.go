package external_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/mcptokens/mcptokens/auth/authtest"
	"github.com/mcptokens/mcptokens/auth/external"
	"github.com/mcptokens/mcptokens/transport"
)

// Tokens that another library gets, here by golang.org/x/oauth2 itself.
func ExampleFromTokenSource() {
	// A protected server to talk to; yours has a URL, and so has its
	// authorization server.
	as, err := authtest.Start(authtest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	as.AddClient("robot", "secret of the robot")
	protected := as.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}), authtest.Protection{AllowUnbound: true})

	config := clientcredentials.Config{ClientID: "robot", ClientSecret: "secret of the robot", TokenURL: as.Endpoint(authtest.TokenEndpoint)}
	// What TokenSource is given has no end of its own: bound its requests.
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Timeout: 30 * time.Second})
	source := external.FromTokenSource(config.TokenSource(ctx), protected.URL)
	defer source.Close()

	client := &http.Client{Transport: &transport.RoundTripper{Source: source}}
	resp, err := client.Get(protected.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}
