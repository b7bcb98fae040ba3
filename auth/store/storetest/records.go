package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/extras"
	"github.com/mcptokens/mcptokens/auth/registration"
)

// The checks of what a record is after it was stored.

func loadNothing(ctx context.Context, e *env) error {
	for range 2 { // to look must not create
		if err := e.missing(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// missing checks that neither view has a record of key.
func (e *env) missing(ctx context.Context, key auth.Key) error {
	return e.views(func(name string, s auth.Store) error {
		if r, err := s.Load(ctx, key); !errors.Is(err, auth.ErrNotFound) || r != nil {
			return fmt.Errorf("load in %s of a key that holds nothing: record %v, error %w; want no record and auth.ErrNotFound", name, r, orNone(err))
		}
		return nil
	})
}

// fullRecord has something in every field.
func fullRecord() *auth.Record {
	// The zone must not matter, the nanosecond does.
	now := time.Date(2100, 2, 28, 23, 59, 59, 123_456_789, time.FixedZone("odd", 5*3600+45*60))
	later := now.Add(time.Second)
	return &auth.Record{
		Issuer:   "https://as.example/tenant",
		Resource: "https://mcp.example/mcp?x=1&y=2",
		Endpoints: &auth.Endpoints{
			Token: "https://as.example/token?tenant=1", Revocation: "https://as.example/revoke", AuthMethods: []string{"client_secret_post", "none"}, ScopedRefresh: true,
		},
		Token: &auth.Token{
			AccessToken:  "access-._~+/==",
			TokenType:    "DPoP",
			RefreshToken: "refresh \"quoted\" \\ <&> \u2028 \u00fc \U0001f511",
			Expiry:       now.Add(time.Hour),
			Scopes:       []string{"mcp:read", "mcp:write"},
			Extra:        extras.Members{"id_token": json.RawMessage(`"a.b.c"`), "team <&>": json.RawMessage(`{"id": 1, "name": "\u2028 <&> \u00fc"}`)},
		},
		Obtained:  now,
		Requested: []string{"mcp:admin", "mcp:read"},
		ProofKey:  []byte{0x30, 0x00, 0xff, 0xfe, '\n', 0x80},
		Registration: &registration.Client{
			ClientID: "registered", ClientSecret: "s3cret:%&=", ClientSecretExpiresAt: now.Add(24 * time.Hour),
			TokenEndpointAuthMethod: "client_secret_basic", RedirectURIs: []string{"http://127.0.0.1/callback", "com.example.app:/callback"},
			RegistrationAccessToken: "registration-token", RegistrationClientURI: "https://as.example/register/1", GrantType: "authorization_code",
		},
		StepUps: []auth.StepUpLimit{
			{Scopes: []string{"mcp:admin"}, Attempts: 2, Until: now.Add(time.Minute)},
			{Scopes: []string{"a", "b"}, Attempts: 1, Until: now.Add(2 * time.Minute), Granted: true},
		},
		Restored: &later,
		Replaced: "\x00\x80\xff\x01\x02\x03\x04\x05",
		Refusal:  &auth.LoginRefusal{At: now, Issuer: "https://as.example", Code: "access_denied", Scopes: []string{"mcp:admin"}},
	}
}

// samples are records of all shapes.
func samples() map[string]*auth.Record {
	long := strings.Repeat("0123456789abcdef", 1<<9)
	return map[string]*auth.Record{
		"every field":       fullRecord(),
		"nothing":           {},
		"registration only": {Issuer: "https://as.example", Registration: fullRecord().Registration},
		"token without expiry and scopes": {Token: &auth.Token{
			AccessToken: "a", TokenType: "Bearer",
		}},
		"refresh token only": {Token: &auth.Token{TokenType: "Bearer", RefreshToken: "r"}},
		"proof key only":     {ProofKey: []byte("key")},
		"step-ups only":      {StepUps: fullRecord().StepUps},
		"a refusal only":     {Refusal: fullRecord().Refusal},
		"expiry by this process's clock": {Token: &auth.Token{
			AccessToken: "a", TokenType: "Bearer", Expiry: time.Now().Add(time.Hour),
		}},
		"tokens of 8 KiB":  {Token: &auth.Token{AccessToken: long, TokenType: "Bearer", RefreshToken: long + "r"}},
		"expired long ago": {Token: &auth.Token{AccessToken: "a", TokenType: "Bearer", Expiry: time.Unix(1, 1)}},
	}
}

func roundTrip(ctx context.Context, e *env) error {
	for name, want := range samples() {
		k := key
		k.Subject = name
		g, err := e.one.Save(ctx, k, want)
		if err != nil {
			return fmt.Errorf("save of a record with %s: %w", name, err)
		}
		err = e.views(func(view string, s auth.Store) error {
			got, err := s.Load(ctx, k)
			if err != nil {
				return fmt.Errorf("load in %s of a record with %s: %w", view, name, err)
			}
			if got.Generation != g {
				return fmt.Errorf("load in %s: generation %d, but Save returned %d", view, got.Generation, g)
			}
			return sameRecord(got, want)
		})
		if err != nil {
			return fmt.Errorf("record with %s: %w", name, err)
		}
	}
	return nil
}

// sameRecord compares all but the generations. It names the field that
// differs, not what is in it.
func sameRecord(got, want *auth.Record) error {
	if (got.Token == nil) != (want.Token == nil) {
		return differs("Token")
	}
	if (got.Registration == nil) != (want.Registration == nil) {
		return differs("Registration")
	}
	gt, wt := token(got), token(want)
	gr, wr := client(got), client(want)
	for _, f := range []struct {
		name string
		same bool
	}{
		{"Issuer", got.Issuer == want.Issuer},
		{"Resource", got.Resource == want.Resource},
		{"Endpoints", reflect.DeepEqual(got.Endpoints, want.Endpoints)},
		{"Obtained", sameTime(got.Obtained, want.Obtained)},
		{"Requested", slices.Equal(got.Requested, want.Requested)},
		{"ProofKey", string(got.ProofKey) == string(want.ProofKey)},
		{"Token.AccessToken", gt.AccessToken == wt.AccessToken},
		{"Token.TokenType", gt.TokenType == wt.TokenType},
		{"Token.RefreshToken", gt.RefreshToken == wt.RefreshToken},
		{"Token.Expiry", sameTime(gt.Expiry, wt.Expiry)},
		{"Token.Extra", sameExtra(gt.Extra, wt.Extra)},
		{"Token.Scopes", slices.Equal(gt.Scopes, wt.Scopes) && (gt.Scopes == nil) == (wt.Scopes == nil)},
		{"Registration.ClientSecretExpiresAt", sameTime(gr.ClientSecretExpiresAt, wr.ClientSecretExpiresAt)},
		{"Registration.RedirectURIs", slices.Equal(gr.RedirectURIs, wr.RedirectURIs)},
		{"Registration", reflect.DeepEqual(plain(gr), plain(wr))},
		{"StepUps", slices.EqualFunc(got.StepUps, want.StepUps, func(a, b auth.StepUpLimit) bool {
			return a.Attempts == b.Attempts && a.Granted == b.Granted && sameTime(a.Until, b.Until) && slices.Equal(a.Scopes, b.Scopes)
		})},
		{"Restored", (got.Restored == nil) == (want.Restored == nil) && (want.Restored == nil || sameTime(*got.Restored, *want.Restored))},
		{"Replaced", got.Replaced == want.Replaced},
		{"Refusal", (got.Refusal == nil) == (want.Refusal == nil)},
		{"Refusal", got.Refusal == nil || want.Refusal == nil || sameRefusal(*got.Refusal, *want.Refusal)},
	} {
		if !f.same {
			return differs(f.name)
		}
	}
	return nil
}

// sameExtra compares values, which may be spelled in another way.
func sameExtra(a, b extras.Members) bool {
	return maps.EqualFunc(a, b, func(x, y json.RawMessage) bool {
		var one, other any
		return json.Unmarshal(x, &one) == nil && json.Unmarshal(y, &other) == nil && reflect.DeepEqual(one, other)
	})
}

func sameRefusal(a, b auth.LoginRefusal) bool {
	return sameTime(a.At, b.At) && a.Issuer == b.Issuer && a.Code == b.Code && slices.Equal(a.Scopes, b.Scopes)
}

func differs(field string) error { return fmt.Errorf("field %s came back different", field) }

// sameTime compares to the nanosecond; the zone may differ, but no time stays
// no time.
func sameTime(a, b time.Time) bool { return a.Round(0).Equal(b.Round(0)) && a.IsZero() == b.IsZero() }

func token(r *auth.Record) auth.Token {
	if r.Token == nil {
		return auth.Token{}
	}
	return *r.Token
}

func client(r *auth.Record) registration.Client {
	if r.Registration == nil {
		return registration.Client{}
	}
	return *r.Registration
}

// plain returns c without the fields that are compared one by one.
func plain(c registration.Client) registration.Client {
	c.ClientSecretExpiresAt, c.RedirectURIs = time.Time{}, nil
	return c
}

func nothingShared(ctx context.Context, e *env) error {
	r := fullRecord()
	g, err := e.one.Save(ctx, key, r)
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	if err := sameRecord(r, fullRecord()); err != nil || r.Generation != 0 {
		return errors.New("save changed the record that it was given")
	}
	spoil(r)
	for _, whose := range []string{"saved", "loaded"} {
		got, err := e.one.Load(ctx, key)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		if err := sameRecord(got, fullRecord()); err != nil {
			return fmt.Errorf("after the caller changed the record that it had %s: %w", whose, err)
		}
		if got.Generation != g {
			return fmt.Errorf("after the caller changed the record that it had %s, the generation is another", whose)
		}
		spoil(got)
	}
	return nil
}

// spoil changes whatever can be reached from a full record.
func spoil(r *auth.Record) {
	r.Generation += 100
	r.Issuer, r.Resource = "", ""
	r.Token.AccessToken, r.Token.RefreshToken = "", ""
	r.Token.Scopes[0], r.Requested[0] = "spoilt", "spoilt"
	r.ProofKey[0]++
	*r.Restored = r.Restored.Add(time.Hour)
	r.Registration.ClientID = ""
	r.Registration.RedirectURIs[0] = ""
	r.StepUps[0].Attempts++
	r.StepUps[1].Scopes[0] = "spoilt"
	r.Refusal.Code, r.Refusal.Scopes[0] = "", "spoilt"
}

// nearKeys are keys that a careless store takes for one another, or chokes on.
func nearKeys() []auth.Key {
	keys := []auth.Key{
		{},
		{Resource: "a"}, {Issuer: "a"}, {ClientID: "a"}, {Subject: "a"},
		{Resource: "a", Issuer: "b"}, {Resource: "b", Issuer: "a"}, {Resource: "ab"}, {Issuer: "ab"},
		{Resource: "https://mcp.example/mcp"}, {Resource: "https://mcp.example/mcp/"}, {Resource: "https://mcp.example/MCP"},
		{Resource: "https://mcp.example:443/mcp"}, {Resource: "https://mcp.example/mcp?"}, {Resource: "https://mcp.example/mcp#"},
	}
	for _, subject := range []string{
		" ", "  ", ".", "..", "../../etc/passwd", "/", `\\host\share`, "CON", "%2e%2e", "%00", "*", "?", "a:b", "a|b", "a,b", "{a}", "{b}", "[a]", "~",
		"line\nbreak", "line\r\nbreak", "tab\t", "'; --", `"quoted"`, "$(id)", "\u00e9", "e\u0301", "\u202eabc", "\U0001f511", strings.Repeat("long", 1000),
	} {
		keys = append(keys, auth.Key{Resource: key.Resource, Issuer: key.Issuer, ClientID: key.ClientID, Subject: subject})
	}
	return keys
}

func keysApart(ctx context.Context, e *env) error {
	keys := nearKeys()
	generations := make([]uint64, len(keys))
	for i, k := range keys {
		g, err := e.create(ctx, e.one, k, fmt.Sprint("token ", i))
		if err != nil {
			return fmt.Errorf("key %+.60q: %w", k, err)
		}
		generations[i] = g
	}
	for i, k := range keys {
		if err := e.holds(ctx, k, generations[i], fmt.Sprint("token ", i)); err != nil {
			return fmt.Errorf("key %+.60q: %w", k, err)
		}
	}
	// To delete one leaves the others.
	for i := 0; i < len(keys); i += 2 {
		if err := e.one.Delete(ctx, keys[i], generations[i]); err != nil {
			return fmt.Errorf("key %+.60q: Delete: %w", keys[i], err)
		}
	}
	for i, k := range keys {
		check := func() error { return e.missing(ctx, k) }
		if i%2 != 0 {
			check = func() error { return e.holds(ctx, k, generations[i], fmt.Sprint("token ", i)) }
		}
		if err := check(); err != nil {
			return fmt.Errorf("key %+.60q, after others were deleted: %w", k, err)
		}
	}
	return nil
}
