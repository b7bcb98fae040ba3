package redisstore

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// ErrClosed is returned by every method of a closed [Store].
var ErrClosed = errtext.New("redisstore: the store is closed")

// Error is an operation that failed. Its text holds neither what is stored nor
// what Redis said beyond its error code.
type Error struct {
	// Op is "load", "save", "delete", "lock" or "list".
	Op string
	// Key is the Redis key.
	Key string
	// Err is the cause. It is for errors.Is and errors.As; its own text may
	// quote what Redis said.
	Err error `json:"-"`
}

// Error implements error; the text holds no secret.
func (e *Error) Error() string { return "redisstore: " + e.Op + " " + e.Key + ": " + describe(e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// describe puts in words what go-redis reports.
func describe(err error) string {
	var answer redis.Error
	switch {
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return "no free connection in the client's pool"
	case errors.Is(err, redis.ErrClosed):
		return "the Redis client is closed"
	case errors.As(err, &answer):
		return "Redis answered with " + code(answer.Error())
	}
	return strings.TrimPrefix(errtext.Describe(err), "store: ")
}

// code is the first word of an error of Redis, its code: the rest may quote
// arguments.
func code(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "an error"
	}
	return word
}

// wrap names the operation in an error of Redis. What ctx says is passed on as
// it is, and so is what this package says of itself.
func wrap(ctx context.Context, op, key string, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrClosed), errors.Is(err, auth.ErrNotFound):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return &Error{Op: op, Key: key, Err: err}
}
