package mcpgo

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcptokens/mcptokens/auth"
)

// Challenger is an error of a custom transport that carries the server's
// challenge, for [Wrap] to find with errors.As. Transports with HTTP headers
// get the challenge from [auth.ResponseChallenge], others from
// [auth.ParseChallenges] or make it themselves.
type Challenger interface {
	error
	AuthChallenge() auth.Challenge
}

// challengeOf looks for a challenge in the outcome of a request. answered: the
// server has answered under the request's ID.
func challengeOf(method string, response *mcptransport.JSONRPCResponse, err error) (c auth.Challenge, answered, ok bool) {
	switch {
	case err != nil || response == nil:
		c, ok = errorChallenge(err)
		return c, false, ok
	case response.Error != nil:
		c, ok = dataChallenge(response.Error.Data)
	case method == string(mcp.MethodToolsCall):
		c, ok = resultChallenge(response.Result)
	}
	return c, true, ok
}

// errorChallenge finds the challenge that a transport's error carries.
func errorChallenge(err error) (auth.Challenge, bool) {
	if err == nil {
		return auth.Challenge{}, false
	}
	var challenger Challenger
	if errors.As(err, &challenger) {
		return challenger.AuthChallenge(), true
	}
	var required *mcptransport.AuthorizationRequiredError
	if errors.As(err, &required) {
		return auth.Challenge{Status: http.StatusUnauthorized, ResourceMetadata: required.ResourceMetadataURL}, true
	}
	return auth.Challenge{}, false
}

// resultChallenge finds the challenge in a tool's result, in the place where
// hosted clients look for it.
func resultChallenge(result json.RawMessage) (auth.Challenge, bool) {
	if !bytes.Contains(result, []byte("www_authenticate")) { // the slash before it may be escaped
		return auth.Challenge{}, false
	}
	var r struct {
		Meta map[string]json.RawMessage `json:"_meta"`
	}
	if json.Unmarshal(result, &r) != nil {
		return auth.Challenge{}, false
	}
	var value any
	if json.Unmarshal(r.Meta["mcp/www_authenticate"], &value) != nil {
		return auth.Challenge{}, false
	}
	return valueChallenge(stringsOf(value))
}

// dataChallenge finds the challenge in the data of a JSON-RPC error. No
// specification says where it stands there, so it is looked for by the names
// that are in use: the header's, in any spelling, and that of tool results; in
// data itself, in data.headers and in data._meta.
func dataChallenge(data any) (auth.Challenge, bool) {
	object, ok := data.(map[string]any)
	if !ok {
		if data == nil {
			return auth.Challenge{}, false
		}
		encoded, err := json.Marshal(data) // a transport in this process may have left it a struct
		if err != nil || json.Unmarshal(encoded, &object) != nil {
			return auth.Challenge{}, false
		}
	}
	var values []string
	collect := func(members map[string]any) {
		for name, value := range members {
			if isChallengeName(name) {
				values = append(values, stringsOf(value)...)
			}
		}
	}
	collect(object)
	for _, name := range []string{"headers", "_meta"} {
		if inner, ok := object[name].(map[string]any); ok {
			collect(inner)
		}
	}
	return valueChallenge(values)
}

var challengeNames = strings.NewReplacer("mcp/", "", "-", "", "_", "")

// isChallengeName reports the spellings of WWW-Authenticate.
func isChallengeName(name string) bool {
	return len(name) <= 32 && challengeNames.Replace(strings.ToLower(name)) == "wwwauthenticate"
}

// stringsOf returns a string, or a list's strings.
func stringsOf(value any) (values []string) {
	switch v := value.(type) {
	case string:
		return []string{unquote(v)}
	case []any:
		for _, element := range v {
			if s, ok := element.(string); ok {
				values = append(values, unquote(s))
			}
		}
	}
	return values
}

// unquote drops the single quotes around the value that a widely copied example
// has.
func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 1 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	return s
}

// valueChallenge reads header values, of which one has to be a challenge for
// OAuth tokens: without a status nothing else says that this is a refusal.
func valueChallenge(values []string) (auth.Challenge, bool) {
	if len(values) == 0 {
		return auth.Challenge{}, false
	}
	c, _ := auth.ResponseChallenge(http.StatusUnauthorized, http.Header{"Www-Authenticate": values})
	if c.Scheme == "" {
		return auth.Challenge{}, false
	}
	if c.InsufficientScope() {
		c.Status = http.StatusForbidden
	}
	return c, true
}

// operation names a request for the manager: its method, and the tool, prompt
// or resource that it is for.
func operation(request mcptransport.JSONRPCRequest) string {
	encoded, err := json.Marshal(request.Params)
	if err != nil {
		return request.Method
	}
	var params struct {
		Name string `json:"name"`
		URI  string `json:"uri"`
	}
	if json.Unmarshal(encoded, &params) != nil || params.Name+params.URI == "" {
		return request.Method
	}
	return request.Method + " " + params.Name + params.URI
}
