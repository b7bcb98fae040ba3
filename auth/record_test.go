package auth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
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
	got, err := auth.EncodeRecord(key, rec)
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
	k, r, err := auth.DecodeRecord(want)
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
		{"the largest generation", key, &auth.Record{Generation: 1<<64 - 1}},
		{"text that JSON escapes", auth.Key{Subject: "a\x00\"<\u2028\ufffd\U0001f511"}, &auth.Record{Token: &auth.Token{AccessToken: `\"`, RefreshToken: "\t"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data, err := auth.EncodeRecord(tc.key, tc.rec)
			if err != nil {
				t.Fatal(err)
			}
			k, r, err := auth.DecodeRecord(data)
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
	data, err := auth.EncodeRecord(auth.Key{}, &auth.Record{Obtained: now, Token: &auth.Token{AccessToken: "a", Expiry: odd}})
	if err != nil || !bytes.Contains(data, []byte(`Z"`)) || bytes.Contains(data, []byte("+05:45")) {
		t.Fatalf("%s, %v", data, err)
	}
	_, r, err := auth.DecodeRecord(data)
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
		if data, err := auth.EncodeRecord(tc.key, tc.rec); err == nil || data != nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %q, %v", name, data, err)
		}
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
		{"nothing", "", auth.ErrCorruptRecord},
		{"null", "null", auth.ErrCorruptRecord},
		{"an empty object", "{}", auth.ErrCorruptRecord},
		{"an array", "[]", auth.ErrCorruptRecord},
		{"zeros, as after a power cut", strings.Repeat("\x00", 512), auth.ErrCorruptRecord},
		{"the first half", string(golden[:len(golden)/2]), auth.ErrCorruptRecord},
		{"all but the last brace", strings.TrimSuffix(string(golden), "}\n"), auth.ErrCorruptRecord},
		{"two in one", string(golden) + string(golden), auth.ErrCorruptRecord},
		{"version 0", with(`"version": 1`, `"version": 0`), auth.ErrCorruptRecord},
		{"version -1", with(`"version": 1`, `"version": -1`), auth.ErrCorruptRecord},
		{"a version that is no number", with(`"version": 1`, `"version": "1"`), auth.ErrCorruptRecord},
		{"a token that is no object", with(`"access_token": "access"`, `"access_token": 1`), auth.ErrCorruptRecord},
		{"a time that is none", with(`"obtained": "2026`, `"obtained": "20x6`), auth.ErrCorruptRecord},
		{"a negative generation", with(`"generation": 7`, `"generation": -7`), auth.ErrCorruptRecord},
		{"a newer version", with(`"version": 1`, `"version": 2`), auth.ErrNewerRecord},
		{"a newer version in which everything is otherwise", `{"version":3,"key":"k","token":[],"generation":"g"}`, auth.ErrNewerRecord},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, r, err := auth.DecodeRecord([]byte(tc.data))
			if !errors.Is(err, tc.want) || r != nil || k != (auth.Key{}) {
				t.Errorf("decoded %+v %v, %v; want %v", k, r, err, tc.want)
			}
		})
	}
}

// Fields may be added within a version: who does not know them reads on.
func TestRecordWithUnknownFields(t *testing.T) {
	_, r, err := auth.DecodeRecord([]byte(`{"version":1,"key":{"resource":"r","new":1},"generation":3,"token":{"access_token":"a","new":[]},"new":{}}`))
	if err != nil || r.Generation != 3 || r.Token.AccessToken != "a" {
		t.Errorf("decoded %v, %v", r, err)
	}
}

// Whatever is decoded can be encoded, and comes back the same.
func FuzzDecodeRecord(f *testing.F) {
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
		key, rec, err := auth.DecodeRecord(data)
		if err != nil {
			if (!errors.Is(err, auth.ErrCorruptRecord) && !errors.Is(err, auth.ErrNewerRecord)) || rec != nil {
				t.Fatalf("%v, %v", rec, err)
			}
			return
		}
		again, err := auth.EncodeRecord(key, rec)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		key2, rec2, err := auth.DecodeRecord(again)
		if err != nil || key2 != key {
			t.Fatalf("%+v, %v", key2, err)
		}
		third, err := auth.EncodeRecord(key2, rec2)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%s, then %s (%v)", again, third, err)
		}
	})
}

// The names are in file systems and databases, so they stay what they are.
func TestKeyID(t *testing.T) {
	key, _ := goldenRecord()
	if got, want := key.ID(), "c6913dfb3ca2663532303ec57b12bacf"; got != want {
		t.Errorf("ID = %s, want %s", got, want)
	}
	seen := make(map[string]auth.Key)
	for _, k := range []auth.Key{
		{}, key,
		{Resource: "a"}, {Issuer: "a"}, {ClientID: "a"}, {Subject: "a"},
		{Resource: "ab"}, {Resource: "a", Issuer: "b"}, {Resource: "a\x00b"}, {Resource: "a", Issuer: "b\x00"}, {Resource: "a\x00b", Issuer: ""},
		{ClientID: "a\x00b"}, {ClientID: "a", Subject: "b\x00"}, {ClientID: "a", Subject: "b"}, {ClientID: "1:a"}, {Subject: "\xff"}, {Subject: "\ufffd"},
	} {
		id := k.ID()
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || id != k.ID() {
			t.Errorf("%q: ID %q", k, id)
		}
		if other, ok := seen[id]; ok && other != k {
			t.Errorf("%q and %q have one ID", k, other)
		}
		seen[id] = k
	}
}
