package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/auth/store"
)

// goldenFile holds what version 1 wrote for goldenRecord. It is on people's
// disks: whoever has to change it has to write version 2.
const goldenFile = "testdata/record-v1.json"

func goldenRecord() (auth.Key, *auth.Record) {
	at := time.Date(2026, 7, 28, 12, 30, 45, 123456789, time.UTC)
	return auth.Key{Resource: "https://mcp.example.com/mcp", Issuer: "https://as.example.com", ClientID: "client", Subject: "alice"},
		&auth.Record{
			Generation: 7,
			Issuer:     "https://as.example.com",
			Resource:   "https://mcp.example.com/mcp",
			Token: &auth.Token{
				AccessToken: "access", TokenType: "DPoP", RefreshToken: "refresh", Expiry: at.Add(time.Hour), Scopes: []string{"mcp:read", "mcp:write"},
			},
			Obtained:  at,
			Requested: []string{"mcp:admin", "mcp:read", "mcp:write"},
			ProofKey:  []byte{0, 1, 2, 255},
			Registration: &registration.Client{
				ClientID: "registered", ClientSecret: "secret", ClientSecretExpiresAt: at.Add(24 * time.Hour), TokenEndpointAuthMethod: "client_secret_basic",
				RedirectURIs: []string{"http://127.0.0.1/callback"}, RegistrationAccessToken: "registration-token", RegistrationClientURI: "https://as.example.com/register/1",
			},
			StepUps: []auth.StepUpLimit{{Scopes: []string{"mcp:admin"}, Attempts: 2, Until: at.Add(5 * time.Minute)}},
		}
}

func TestRecordVersion1(t *testing.T) {
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	key, rec := goldenRecord()
	got, err := store.Encode(key, rec)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, got, "", "  "); err != nil {
		t.Fatal(err)
	}
	if indented.WriteByte('\n'); !bytes.Equal(indented.Bytes(), want) {
		t.Errorf("encoded:\n%s\nwant what is in %s", &indented, goldenFile)
	}
	k, r, err := store.Decode(want)
	if err != nil || k != key || !reflect.DeepEqual(r, rec) {
		t.Errorf("decoded %+v %v, %v", k, r, err)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	key, full := goldenRecord()
	for _, tc := range []struct {
		name string
		key  auth.Key
		rec  *auth.Record
	}{
		{"everything", key, full},
		{"nothing", auth.Key{}, &auth.Record{}},
		{"a registration alone", auth.Key{Issuer: full.Issuer}, &auth.Record{Generation: 1, Issuer: full.Issuer, Registration: full.Registration}},
		{"a token of unknown lifetime and scopes", key, &auth.Record{Token: &auth.Token{AccessToken: "a"}}},
		{"a token with no scopes", key, &auth.Record{Token: &auth.Token{AccessToken: "a", Scopes: []string{}}}},
		{"endpoints", key, &auth.Record{Issuer: full.Issuer, Endpoints: &auth.Endpoints{Token: "https://as.example.com/t", Revocation: "https://as.example.com/r", AuthMethods: []string{"none"}, ScopedRefresh: true}}},
		{"a token endpoint alone", key, &auth.Record{Endpoints: &auth.Endpoints{Token: "https://as.example.com/t"}}},
		{"a limit on what was granted", key, &auth.Record{StepUps: []auth.StepUpLimit{{Scopes: []string{"a"}, Attempts: 1, Until: full.StepUps[0].Until, Granted: true}}}},
		{"a refusal", key, &auth.Record{Refusal: &auth.LoginRefusal{At: full.Obtained, Issuer: full.Issuer, Code: "access_denied", Scopes: []string{"a"}}}},
		{"what was replaced", key, &auth.Record{Replaced: "\x00\x01\x02\x03\x04\x05\x06\xff"}},
		{"no answer", key, &auth.Record{Refusal: &auth.LoginRefusal{At: full.Obtained}}},
		{"the largest generation", key, &auth.Record{Generation: 1<<64 - 1}},
		{"text that JSON escapes", auth.Key{Subject: "a\x00\"<\u2028\ufffd\U0001f511"}, &auth.Record{Token: &auth.Token{AccessToken: `\"`, RefreshToken: "\t"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data, err := store.Encode(tc.key, tc.rec)
			if err != nil {
				t.Fatal(err)
			}
			k, r, err := store.Decode(data)
			if err != nil || k != tc.key {
				t.Fatalf("decoded %+v, %v", k, err)
			}
			if tok := tc.rec.Token; tok != nil && tok.Scopes != nil && len(tok.Scopes) == 0 {
				tok.Scopes = nil // RFC 6749 section 3.3 knows no empty scope
			}
			if !reflect.DeepEqual(r, tc.rec) {
				t.Errorf("decoded %#v, want %#v", r, tc.rec)
			}
		})
	}
}

// Times are stored as wall clock in UTC, to the nanosecond.
func TestRecordTimes(t *testing.T) {
	now := time.Now() // with a monotonic part, in the local zone
	odd := now.Add(time.Hour).In(time.FixedZone("odd", 5*3600+45*60))
	data, err := store.Encode(auth.Key{}, &auth.Record{Obtained: now, Token: &auth.Token{AccessToken: "a", Expiry: odd}})
	if err != nil || !bytes.Contains(data, []byte(`Z"`)) || bytes.Contains(data, []byte("+05:45")) {
		t.Fatalf("%s, %v", data, err)
	}
	_, r, err := store.Decode(data)
	if err != nil || r.Obtained != now.Round(0).UTC() || !r.Token.Expiry.Equal(odd) {
		t.Errorf("decoded %v, %v", r.Obtained, err)
	}
}

func TestRecordThatCannotBeEncoded(t *testing.T) {
	const bad = "hidden\xff"
	for name, tc := range map[string]struct {
		key auth.Key
		rec *auth.Record
	}{
		"subject":       {auth.Key{Subject: bad}, &auth.Record{}},
		"resource":      {auth.Key{Resource: bad}, &auth.Record{}},
		"client":        {auth.Key{ClientID: bad}, &auth.Record{}},
		"issuer":        {auth.Key{Issuer: bad}, &auth.Record{}},
		"access token":  {auth.Key{}, &auth.Record{Token: &auth.Token{AccessToken: bad}}},
		"refresh token": {auth.Key{}, &auth.Record{Token: &auth.Token{RefreshToken: bad}}},
		"time":          {auth.Key{}, &auth.Record{Token: &auth.Token{AccessToken: "hidden", Expiry: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}}},
	} {
		data, err := store.Encode(tc.key, tc.rec)
		if err == nil || data != nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		wantPermanent(t, err)
	}
}

func TestRecordThatCannotBeDecoded(t *testing.T) {
	golden, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, fresh string) string {
		t.Helper()
		changed := strings.Replace(string(golden), old, fresh, 1)
		if changed == string(golden) {
			t.Fatalf("%s has no %s", goldenFile, old)
		}
		return changed
	}
	for _, tc := range []struct {
		name, data string
		want       error
	}{
		{"nothing", "", store.ErrCorrupt},
		{"null", "null", store.ErrCorrupt},
		{"an empty object", "{}", store.ErrCorrupt},
		{"an array", "[]", store.ErrCorrupt},
		{"zeros, as after a power cut", strings.Repeat("\x00", 512), store.ErrCorrupt},
		{"the first half", string(golden[:len(golden)/2]), store.ErrCorrupt},
		{"all but the last brace", strings.TrimSuffix(string(golden), "}\n"), store.ErrCorrupt},
		{"two in one", string(golden) + string(golden), store.ErrCorrupt},
		{"version 0", with(`"version": 1`, `"version": 0`), store.ErrCorrupt},
		{"version -1", with(`"version": 1`, `"version": -1`), store.ErrCorrupt},
		{"a version that is no number", with(`"version": 1`, `"version": "1"`), store.ErrCorrupt},
		{"a token that is no object", with(`"access_token": "access"`, `"access_token": 1`), store.ErrCorrupt},
		{"a time that is none", with(`"obtained": "2026`, `"obtained": "20x6`), store.ErrCorrupt},
		{"a time beyond the year 9999 in UTC", `{"version":1,"key":{},"generation":1,"obtained":"9999-12-31T23:59:59-01:00"}`, store.ErrCorrupt},
		{"a negative generation", with(`"generation": 7`, `"generation": -7`), store.ErrCorrupt},
		{"a newer version", with(`"version": 1`, `"version": 2`), store.ErrNewer},
		{"a newer version in which everything is otherwise", `{"version":3,"key":"k","token":[],"generation":"g"}`, store.ErrNewer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, r, err := store.Decode([]byte(tc.data))
			if !errors.Is(err, tc.want) || r != nil || k != (auth.Key{}) {
				t.Errorf("decoded %+v %v, %v; want %v", k, r, err, tc.want)
			}
			wantPermanent(t, err)
		})
	}
}

// wantPermanent fails the test unless a manager can tell that asking again is
// of no use.
func wantPermanent(t *testing.T, err error) {
	t.Helper()
	var says interface{ Retryable() bool }
	if !errors.As(fmt.Errorf("in a store's words: %w", err), &says) || says.Retryable() {
		t.Errorf("%v does not say that it is permanent", err)
	}
}

// Fields may be added within a version: who does not know them reads on.
func TestRecordWithUnknownFields(t *testing.T) {
	_, r, err := store.Decode([]byte(`{"version":1,"key":{"resource":"r","new":1},"generation":3,"token":{"access_token":"a","new":[]},"new":{}}`))
	if err != nil || r.Generation != 3 || r.Token.AccessToken != "a" {
		t.Errorf("decoded %v, %v", r, err)
	}
}

// Whatever is decoded can be encoded, and comes back the same.
func FuzzDecode(f *testing.F) {
	golden, err := os.ReadFile(goldenFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"obtained":"9999-12-31T23:59:59-01:00"}`))
	f.Add([]byte(`{"version":1,"token":{},"registration":{},"step_ups":[{}],"proof_key":"AA==","obtained":"0001-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, rec, err := store.Decode(data)
		if err != nil {
			if (!errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrNewer)) || rec != nil {
				t.Fatalf("%v, %v", rec, err)
			}
			return
		}
		again, err := store.Encode(key, rec)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		key2, rec2, err := store.Decode(again)
		if err != nil || key2 != key {
			t.Fatalf("%+v, %v", key2, err)
		}
		third, err := store.Encode(key2, rec2)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%s, then %s (%v)", again, third, err)
		}
	})
}
