package browser

import (
	"context"

	"github.com/mcptokens/mcptokens/auth/internal/acting"
)

// Subject returns whom a login is for: the Subject of [auth.Config], or that of a
// pool's source. It is for an [auth.UserAgent] that serves many users, in the
// contexts of Start and Visit. Elsewhere it is empty.
func Subject(ctx context.Context) string { return acting.From(ctx).Subject }
