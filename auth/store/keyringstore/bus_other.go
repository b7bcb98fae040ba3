//go:build !(linux || freebsd || netbsd || openbsd || dragonfly)

package keyringstore

// busReason: there is no D-Bus here.
func busReason(error) (Reason, bool) { return "", false }
