//go:build !unix

package manyprocs

import "errors"

func limit() error { return errors.New("not on this system") }
