package grant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
)

// maxAssertion bounds an assertion, in bytes. Tokens of platforms have a few
// thousand; SAML assertions with many groups a few ten thousand.
const maxAssertion = 256 << 10

// What can be wrong with an assertion, found in [AssertionError.Err].
var (
	errEmptyAssertion = errors.New("is empty; provide a token")
	errLargeAssertion = errors.New("is larger than 256 KiB; provide a token and nothing else")
	errNotToken       = errors.New("is not one token: it has characters other than letters, digits and -._~+/=; provide the bare token")
)

// callAssertion gets an assertion from a callback. field names it in errors.
func callAssertion(ctx context.Context, field string, get func(context.Context) (string, error)) (string, error) {
	s, err := get(ctx)
	if err == nil {
		s, err = checkAssertion(s)
	}
	if err != nil {
		return "", &AssertionError{Field: field, Err: err}
	}
	return s, nil
}

// readAssertion reads an assertion from a file. field names it in errors.
func readAssertion(field, name string) (string, error) {
	s, err := readFile(name)
	if err == nil {
		s, err = checkAssertion(s)
	}
	if err != nil {
		return "", &AssertionError{Field: field, File: name, Err: err}
	}
	return s, nil
}

// inputOf is the name of an assertion for Input; empty if there is none now.
func inputOf(assertion string, err error) string {
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte(assertion))
	return hex.EncodeToString(sum[:])
}

func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAssertion+1))
	return string(b), err
}

// checkAssertion returns s without the white space around it. JWTs and
// base64url-encoded SAML assertions are made of the characters of a b64token
// (RFC 6750 section 2.1); a JSON document, an error page or two lines are not,
// and the server would answer a bare invalid_grant to them.
func checkAssertion(s string) (string, error) {
	if len(s) > maxAssertion {
		return "", errLargeAssertion
	}
	s = strings.TrimSpace(s)
	if s == "" {
		return "", errEmptyAssertion
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/=", rune(c)) {
			return "", errNotToken
		}
	}
	return s, nil
}
