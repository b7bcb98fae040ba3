package authtest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// serve checks the token and passes the request on to the handler.
func (res *Resource) serve(w http.ResponseWriter, r *http.Request) {
	token, have, verdict := res.judge(r)
	switch verdict {
	case Missing:
		res.challenge(w, r, http.StatusUnauthorized, "", res.protection.Scopes)
		return
	case Accepted, InsufficientScope:
	default:
		res.challenge(w, r, res.protection.InvalidTokenStatus, "invalid_token", res.protection.Scopes)
		return
	}
	need, call, ok := res.need(w, r)
	if !ok {
		return
	}
	if res.protection.InBand && call != nil && covers(have, res.protection.Scopes) && !covers(have, need) {
		res.challengeInBand(w, call, need)
		return
	}
	if !covers(have, res.protection.Scopes) {
		need = union(res.protection.Scopes, need)
	}
	if !covers(have, need) {
		res.challenge(w, r, http.StatusForbidden, "insufficient_scope", need)
		return
	}
	known, _ := res.srv.lookup(token)
	w, refused := res.refuse(w, r, time.Since(known.issued))
	if refused {
		return
	}
	res.mu.Lock()
	res.counts.Accepted++
	res.mu.Unlock()
	res.handler.ServeHTTP(w, res.srv.fromOutside(r))
}

// judge looks at the credentials of a request, not yet at what the request is for. It returns the
// bearer token and, if that can be used here at all, its scopes.
func (res *Resource) judge(r *http.Request) (token string, scopes []string, v Verdict) {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return "", nil, Missing
	}
	scheme, token, ok := strings.Cut(header[0], " ")
	if len(header) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", nil, Malformed
	}
	a, ok := res.srv.lookup(token)
	switch {
	case !ok:
		return token, nil, Unknown
	case a.revoked:
		return token, nil, Revoked
	case !time.Now().Before(a.expiry):
		return token, nil, Expired
	case a.resource == "" && !res.protection.AllowUnbound, a.resource != "" && !res.is(a.resource):
		return token, nil, WrongResource
	case !covers(a.scopes, res.protection.Scopes):
		return token, a.scopes, InsufficientScope
	}
	return token, a.scopes, Accepted
}

// need returns the scopes that the JSON-RPC messages in a request need, beyond those that every
// request does, and the ID of the message if it is a single tools/call.
func (res *Resource) need(w http.ResponseWriter, r *http.Request) (need []string, call json.RawMessage, ok bool) {
	p := &res.protection
	if r.Method != http.MethodPost || len(p.ToolScopes)+len(p.MethodScopes) == 0 {
		return nil, nil, true
	}
	body, ok := readBody(w, r)
	if !ok {
		return nil, nil, false
	}
	batch := messages(body)
	for _, m := range batch {
		need = union(need, p.MethodScopes[m.Method])
		if m.Method == toolsCall {
			need = union(need, p.ToolScopes[m.Params.Name])
			if len(batch) == 1 {
				call = m.ID
			}
		}
	}
	return need, call, true
}

// message is the part of a JSON-RPC request that says what it wants.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name string `json:"name"`
	} `json:"params"`
}

// messages reads a JSON-RPC message, or a batch of them (up to MCP 2025-03-26). What is neither is
// for the handler to refuse.
func messages(body []byte) []message {
	body = bytes.TrimSpace(body)
	var batch []message
	if bytes.HasPrefix(body, []byte("[")) {
		_ = json.Unmarshal(body, &batch)
		return batch
	}
	batch = make([]message, 1)
	_ = json.Unmarshal(body, &batch[0])
	return batch
}

// challenge refuses a request (RFC 6750 section 3, RFC 9728 section 5.1).
func (res *Resource) challenge(w http.ResponseWriter, r *http.Request, status int, code string, scopes []string) {
	res.mu.Lock()
	switch status {
	case http.StatusUnauthorized:
		res.counts.Unauthorized++
	case http.StatusForbidden:
		res.counts.Forbidden++
	}
	res.mu.Unlock()
	c := Challenge{Status: status, Error: code, Scopes: scopes, Header: res.header(code, scopes)}
	if res.protection.Challenge != nil {
		res.protection.Challenge(w, r, c)
		return
	}
	w.Header().Set("WWW-Authenticate", c.Header)
	http.Error(w, http.StatusText(status), status)
}

// challengeInBand refuses a tool's call in its result.
func (res *Resource) challengeInBand(w http.ResponseWriter, id json.RawMessage, scopes []string) {
	res.mu.Lock()
	res.counts.Forbidden++
	res.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"jsonrpc": "2.0", "id": id, "result": map[string]any{
		"isError": true,
		"content": []any{map[string]any{"type": "text", "text": "more scopes are needed"}},
		"_meta":   map[string]any{"mcp/www_authenticate": []string{res.header("insufficient_scope", scopes)}},
	}})
}

// header writes the challenge. Its parameters need no escaping: neither scopes nor URLs may hold a
// quote or a backslash.
func (res *Resource) header(code string, scopes []string) string {
	if res.protection.NoChallengeParams {
		return "Bearer"
	}
	var params []string
	if code != "" {
		params = append(params, `error="`+code+`"`)
	}
	if len(scopes) > 0 {
		params = append(params, `scope="`+strings.Join(scopes, " ")+`"`)
	}
	if !res.protection.NoMetadata {
		params = append(params, `resource_metadata="`+res.MetadataURL+`"`)
	}
	return strings.TrimSpace("Bearer " + strings.Join(params, ", "))
}
