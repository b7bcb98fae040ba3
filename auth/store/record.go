// Package store has what stores of all kinds share: the bytes that a record
// becomes. The stores themselves are in the directories beside this file;
// storetest shows whether one of your own keeps the contract of [auth.Store].
package store

import (
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// version is the encoding that this version of the package writes, and
// the newest that it reads.
const version = 1

// The errors of [Decode] are permanent, as [auth.Store] has it: they have a
// method Retryable that returns false.
var (
	// ErrNewer: a newer version of this package wrote the record. It must not
	// be overwritten.
	ErrNewer = errtext.Permanent("store: the record was written by a newer version; update this program")
	// ErrCorrupt: the bytes are no record, or not all of one.
	ErrCorrupt = errtext.Corrupt

	// errNotText keeps what JSON would change from being stored.
	errNotText = errtext.Permanent("store: the record cannot be encoded: its key or its token is not UTF-8, or Token.Extra is not JSON")
	// errTime keeps what RFC 3339 cannot express from being stored.
	errTime = errtext.Permanent("store: the record cannot be encoded: a time in it is not in the years 0 to 9999")
)

// storedRecord is the encoding, version 1. Its names are part of the contract
// with what is on disk: fields may be added, none renamed.
type storedRecord struct {
	Version      int                 `json:"version"`
	Key          storedKey           `json:"key"`
	Generation   uint64              `json:"generation"`
	Issuer       string              `json:"issuer,omitempty"`
	Resource     string              `json:"resource,omitempty"`
	Endpoints    *storedEndpoints    `json:"endpoints,omitempty"`
	Token        *storedToken        `json:"token,omitempty"`
	Obtained     *time.Time          `json:"obtained,omitempty"`
	Requested    []string            `json:"requested,omitempty"`
	ProofKey     []byte              `json:"proof_key,omitempty"`
	Registration *storedRegistration `json:"registration,omitempty"`
	StepUps      []auth.StepUpLimit  `json:"step_ups,omitempty"`
	Refusal      *auth.LoginRefusal  `json:"login_refusal,omitempty"`
	Replaced     []byte              `json:"replaced,omitempty"`
	Restored     *time.Time          `json:"restored,omitempty"`
}

type storedKey struct {
	Resource string `json:"resource,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	Subject  string `json:"subject,omitempty"`
}

type storedEndpoints struct {
	Token         string   `json:"token,omitempty"`
	Revocation    string   `json:"revocation,omitempty"`
	AuthMethods   []string `json:"auth_methods,omitempty"`
	ScopedRefresh bool     `json:"scoped_refresh,omitempty"`
}

type storedToken struct {
	AccessToken  string                     `json:"access_token,omitempty"`
	TokenType    string                     `json:"token_type,omitempty"`
	RefreshToken string                     `json:"refresh_token,omitempty"`
	Expiry       *time.Time                 `json:"expiry,omitempty"` // wall clock, UTC
	Scopes       []string                   `json:"scopes,omitempty"`
	Extra        map[string]json.RawMessage `json:"extra,omitempty"`
}

// storedRegistration calls everything what RFC 7591 and RFC 7592 do, but the
// time.
type storedRegistration struct {
	ClientID                string     `json:"client_id"`
	ClientSecret            string     `json:"client_secret,omitempty"`
	SecretExpiry            *time.Time `json:"client_secret_expiry,omitempty"`
	TokenEndpointAuthMethod string     `json:"token_endpoint_auth_method,omitempty"`
	RedirectURIs            []string   `json:"redirect_uris,omitempty"`
	AccessToken             string     `json:"registration_access_token,omitempty"`
	ClientURI               string     `json:"registration_client_uri,omitempty"`
	GrantType               string     `json:"grant_type,omitempty"`
	Scopes                  []string   `json:"scopes,omitempty"`
	DeclinedScopes          []string   `json:"declined_scopes,omitempty"`
}

// Encode returns r, stored under k, as JSON. The secrets in it are not
// encrypted. It fails for a key or a token that is not UTF-8, for a value in
// Token.Extra that is not JSON, and for a time
// after the year 9999; the error is permanent and quotes nothing.
func Encode(k auth.Key, r *auth.Record) ([]byte, error) {
	if !isText(k.Resource, k.Issuer, k.ClientID, k.Subject) || (r.Token != nil && !canStore(r.Token)) {
		return nil, errNotText
	}
	s := storedRecord{
		Version: version, Key: storedKey(k), Generation: r.Generation,
		Issuer: r.Issuer, Resource: r.Resource, Obtained: utc(r.Obtained),
		Requested: r.Requested, ProofKey: r.ProofKey, StepUps: slices.Clone(r.StepUps), Replaced: []byte(r.Replaced),
	}
	if r.Restored != nil {
		s.Restored = utc(*r.Restored)
	}
	for i, l := range s.StepUps {
		s.StepUps[i].Until = l.Until.Round(0).UTC()
	}
	if r.Refusal != nil {
		refusal := *r.Refusal
		refusal.At = refusal.At.Round(0).UTC()
		s.Refusal = &refusal
	}
	if t := r.Token; t != nil {
		s.Token = &storedToken{t.AccessToken, t.TokenType, t.RefreshToken, utc(t.Expiry), t.Scopes, t.Extra}
	}
	if e := r.Endpoints; e != nil {
		s.Endpoints = (*storedEndpoints)(e)
	}
	if c := r.Registration; c != nil {
		s.Registration = &storedRegistration{
			c.ClientID, c.ClientSecret, utc(c.ClientSecretExpiresAt), c.TokenEndpointAuthMethod,
			c.RedirectURIs, c.RegistrationAccessToken, c.RegistrationClientURI, c.GrantType, c.Scopes, c.DeclinedScopes,
		}
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, errTime // nothing else in it can fail
	}
	return data, nil
}

// Decode is the opposite of [Encode]. A caller that was asked for another key
// than it returns should treat the record as corrupt. Errors: [ErrNewer],
// [ErrCorrupt].
func Decode(data []byte) (auth.Key, *auth.Record, error) {
	var head struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(data, &head) != nil || head.Version < 1 {
		return auth.Key{}, nil, ErrCorrupt
	}
	if head.Version > version {
		return auth.Key{}, nil, ErrNewer
	}
	var s storedRecord
	if json.Unmarshal(data, &s) != nil || !s.inTime() {
		return auth.Key{}, nil, ErrCorrupt
	}
	r := &auth.Record{
		Generation: s.Generation, Issuer: s.Issuer, Resource: s.Resource, Obtained: wall(s.Obtained),
		Requested: s.Requested, ProofKey: s.ProofKey, StepUps: s.StepUps, Refusal: s.Refusal, Replaced: string(s.Replaced),
	}
	if s.Restored != nil {
		restored := wall(s.Restored)
		r.Restored = &restored
	}
	if t := s.Token; t != nil {
		r.Token = &auth.Token{AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken, Expiry: wall(t.Expiry), Scopes: t.Scopes, Extra: t.Extra}
	}
	if e := s.Endpoints; e != nil {
		r.Endpoints = (*auth.Endpoints)(e)
	}
	if c := s.Registration; c != nil {
		r.Registration = &registration.Client{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, ClientSecretExpiresAt: wall(c.SecretExpiry), TokenEndpointAuthMethod: c.TokenEndpointAuthMethod,
			RedirectURIs: c.RedirectURIs, RegistrationAccessToken: c.AccessToken, RegistrationClientURI: c.ClientURI, GrantType: c.GrantType,
			Scopes: c.Scopes, DeclinedScopes: c.DeclinedScopes,
		}
	}
	return auth.Key(s.Key), r, nil
}

// inTime reports whether all times could have been stored: one that leaves the
// years of RFC 3339 in UTC could not be stored again.
func (s *storedRecord) inTime() bool {
	times := []*time.Time{s.Obtained, s.Restored}
	if s.Token != nil {
		times = append(times, s.Token.Expiry)
	}
	if s.Registration != nil {
		times = append(times, s.Registration.SecretExpiry)
	}
	if s.Refusal != nil {
		times = append(times, &s.Refusal.At)
	}
	for i := range s.StepUps {
		times = append(times, &s.StepUps[i].Until)
	}
	return !slices.ContainsFunc(times, func(t *time.Time) bool {
		return t != nil && (t.UTC().Year() < 0 || t.UTC().Year() > 9999)
	})
}

func canStore(t *auth.Token) bool {
	for name, value := range t.Extra {
		if !isText(name, string(value)) || !json.Valid(value) {
			return false
		}
	}
	return isText(t.AccessToken, t.RefreshToken)
}

func isText(all ...string) bool {
	return !slices.ContainsFunc(all, func(s string) bool { return !utf8.ValidString(s) })
}

func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.Round(0).UTC()
	return &t
}

func wall(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Round(0)
}
