package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/mcptokens/mcptokens/auth/registration"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// recordVersion is the encoding that this version of the package writes, and
// the newest that it reads.
const recordVersion = 1

var (
	// ErrNewerRecord is what [DecodeRecord] returns for a record that a newer
	// version of this package wrote. It must not be overwritten.
	ErrNewerRecord = errtext.New("auth: the record was written by a newer version; update this program")
	// ErrCorruptRecord is what [DecodeRecord] returns for bytes that are no
	// record, or not all of one.
	ErrCorruptRecord = errtext.New("auth: the record is corrupt")

	// errNotText keeps what JSON would change from being stored.
	errNotText = errtext.New("auth: the record cannot be encoded: its key or its token is not UTF-8")
)

// storedRecord is the encoding, version 1. Its names are part of the contract
// with what is on disk: fields may be added, none renamed.
type storedRecord struct {
	Version      int                 `json:"version"`
	Key          storedKey           `json:"key"`
	Generation   uint64              `json:"generation"`
	Issuer       string              `json:"issuer,omitempty"`
	Resource     string              `json:"resource,omitempty"`
	Token        *storedToken        `json:"token,omitempty"`
	Obtained     *time.Time          `json:"obtained,omitempty"`
	Requested    []string            `json:"requested,omitempty"`
	ProofKey     []byte              `json:"proof_key,omitempty"`
	Registration *storedRegistration `json:"registration,omitempty"`
	StepUps      []StepUpLimit       `json:"step_ups,omitempty"`
}

type storedKey struct {
	Resource string `json:"resource,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	Subject  string `json:"subject,omitempty"`
}

type storedToken struct {
	AccessToken  string     `json:"access_token,omitempty"`
	TokenType    string     `json:"token_type,omitempty"`
	RefreshToken string     `json:"refresh_token,omitempty"`
	Expiry       *time.Time `json:"expiry,omitempty"` // wall clock, UTC
	Scopes       []string   `json:"scopes,omitempty"`
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
}

// EncodeRecord returns r as a [Store] that keeps bytes stores it. The secrets
// in it are not encrypted. The error is for a key or a token that is not UTF-8,
// and for a time after the year 9999.
func EncodeRecord(k Key, r *Record) ([]byte, error) {
	if !isText(k.Resource, k.Issuer, k.ClientID, k.Subject) || (r.Token != nil && !isText(r.Token.AccessToken, r.Token.RefreshToken)) {
		return nil, errNotText
	}
	s := storedRecord{
		Version: recordVersion, Key: storedKey(k), Generation: r.Generation,
		Issuer: r.Issuer, Resource: r.Resource, Obtained: utc(r.Obtained),
		Requested: r.Requested, ProofKey: r.ProofKey, StepUps: slices.Clone(r.StepUps),
	}
	for i, l := range s.StepUps {
		s.StepUps[i].Until = l.Until.Round(0).UTC()
	}
	if t := r.Token; t != nil {
		s.Token = &storedToken{t.AccessToken, t.TokenType, t.RefreshToken, utc(t.Expiry), t.Scopes}
	}
	if c := r.Registration; c != nil {
		s.Registration = &storedRegistration{
			c.ClientID, c.ClientSecret, utc(c.ClientSecretExpiresAt), c.TokenEndpointAuthMethod,
			c.RedirectURIs, c.RegistrationAccessToken, c.RegistrationClientURI, c.GrantType,
		}
	}
	return json.Marshal(s)
}

// DecodeRecord is the opposite of [EncodeRecord]. Errors: [ErrNewerRecord],
// [ErrCorruptRecord].
func DecodeRecord(data []byte) (Key, *Record, error) {
	var head struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(data, &head) != nil || head.Version < 1 {
		return Key{}, nil, ErrCorruptRecord
	}
	if head.Version > recordVersion {
		return Key{}, nil, ErrNewerRecord
	}
	var s storedRecord
	if json.Unmarshal(data, &s) != nil || !s.inTime() {
		return Key{}, nil, ErrCorruptRecord
	}
	r := &Record{
		Generation: s.Generation, Issuer: s.Issuer, Resource: s.Resource, Obtained: wall(s.Obtained),
		Requested: s.Requested, ProofKey: s.ProofKey, StepUps: s.StepUps,
	}
	if t := s.Token; t != nil {
		r.Token = &Token{AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken, Expiry: wall(t.Expiry), Scopes: t.Scopes}
	}
	if c := s.Registration; c != nil {
		r.Registration = &registration.Client{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, ClientSecretExpiresAt: wall(c.SecretExpiry), TokenEndpointAuthMethod: c.TokenEndpointAuthMethod,
			RedirectURIs: c.RedirectURIs, RegistrationAccessToken: c.AccessToken, RegistrationClientURI: c.ClientURI, GrantType: c.GrantType,
		}
	}
	return Key(s.Key), r, nil
}

// inTime reports whether all times could have been stored: one that leaves the
// years of RFC 3339 in UTC could not be stored again.
func (s *storedRecord) inTime() bool {
	times := []*time.Time{s.Obtained}
	if s.Token != nil {
		times = append(times, s.Token.Expiry)
	}
	if s.Registration != nil {
		times = append(times, s.Registration.SecretExpiry)
	}
	for i := range s.StepUps {
		times = append(times, &s.StepUps[i].Until)
	}
	return !slices.ContainsFunc(times, func(t *time.Time) bool {
		return t != nil && (t.UTC().Year() < 0 || t.UTC().Year() > 9999)
	})
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

// ID is a name for the key that is safe in file names, Redis keys and the
// like: 32 lower case hexadecimal digits, the same for equal keys on every
// machine and in every version of this package.
func (k Key) ID() string {
	h := sha256.New()
	for _, s := range []string{k.Resource, k.Issuer, k.ClientID, k.Subject} {
		_, _ = fmt.Fprintf(h, "%d:%s", len(s), s) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
