package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

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
)

// storedRecord is the encoding, version 1. Its names are part of the contract
// with what is on disk: fields may be added, none renamed.
type storedRecord struct {
	Version      int                  `json:"version"`
	Key          storedKey            `json:"key"`
	Generation   uint64               `json:"generation"`
	Issuer       string               `json:"issuer,omitempty"`
	Resource     string               `json:"resource,omitempty"`
	Token        *storedToken         `json:"token,omitempty"`
	Obtained     *time.Time           `json:"obtained,omitempty"`
	Requested    []string             `json:"requested,omitempty"`
	ProofKey     []byte               `json:"proof_key,omitempty"`
	Registration *registration.Client `json:"registration,omitempty"`
	StepUps      []StepUpLimit        `json:"step_ups,omitempty"`
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

// EncodeRecord returns r as a [Store] that keeps bytes stores it. The secrets
// in it are not encrypted.
func EncodeRecord(k Key, r *Record) ([]byte, error) {
	s := storedRecord{
		Version: recordVersion, Key: storedKey(k), Generation: r.Generation,
		Issuer: r.Issuer, Resource: r.Resource, Obtained: utc(r.Obtained),
		Requested: r.Requested, ProofKey: r.ProofKey, Registration: r.Registration, StepUps: r.StepUps,
	}
	if t := r.Token; t != nil {
		s.Token = &storedToken{t.AccessToken, t.TokenType, t.RefreshToken, utc(t.Expiry), t.Scopes}
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
	if json.Unmarshal(data, &s) != nil {
		return Key{}, nil, ErrCorruptRecord
	}
	r := &Record{
		Generation: s.Generation, Issuer: s.Issuer, Resource: s.Resource, Obtained: wall(s.Obtained),
		Requested: s.Requested, ProofKey: s.ProofKey, Registration: s.Registration, StepUps: s.StepUps,
	}
	if t := s.Token; t != nil {
		r.Token = &Token{AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken, Expiry: wall(t.Expiry), Scopes: t.Scopes}
	}
	return Key(s.Key), r, nil
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
	sum := sha256.Sum256([]byte(strings.Join([]string{k.Resource, k.Issuer, k.ClientID, k.Subject}, "\x00")))
	return hex.EncodeToString(sum[:16])
}
