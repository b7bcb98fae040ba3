package mcpgo

import (
	"log/slog"
	"time"
)

// stdioOptions are what only NewStdio knows.
type stdioOptions struct {
	restart        bool
	restartTimeout time.Duration
	drainTimeout   time.Duration
	logger         *slog.Logger
}

func defaultStdioOptions() stdioOptions {
	return stdioOptions{restartTimeout: 30 * time.Second, drainTimeout: 10 * time.Second, logger: slog.New(slog.DiscardHandler)}
}

// WithRestart has [NewStdio] restart the server whenever src has a token other
// than the server was started with, so that one which reads its environment
// only once gets the new token too. Default: it is not restarted.
//
// The new process is started at once. Requests that are under way are finished
// by the old one, those that come meanwhile wait, up to [WithRestartTimeout].
// When no request is left, or after [WithDrainTimeout], the handshake, the log
// level and the resource subscriptions that the client made are made again with
// the new process, and it takes over. The old one is ended when its last request
// is answered: no request is lost and none is sent twice. A request that never
// ends, subscriptions/listen, holds nothing up: it is sent again to the new
// process, which acknowledges it again.
//
// If the new process does not start or refuses the handshake, those who wait
// get *[RestartError], the old one stays, and the next request tries again.
//
// For a moment two processes of the server run, and what the old one had in its
// memory is gone afterwards: a server that holds a lock, or a state that matters,
// should read a token file instead. A request that the client makes while it
// handles one of the server's, with the context of that one, is not kept
// waiting: it goes to the process that asked.
func WithRestart() CommandOption { return func(o *commandOptions) { o.restart = true } }

// WithRestartTimeout bounds a restart, and how long a request waits for one.
// Default: 30 s.
func WithRestartTimeout(d time.Duration) CommandOption {
	return func(o *commandOptions) { o.restartTimeout = d }
}

// WithDrainTimeout bounds how long a restart waits for the requests that are
// under way. Those that take longer go on while the new process takes the new
// ones. Default: 10 s; 0: no waiting.
func WithDrainTimeout(d time.Duration) CommandOption {
	return func(o *commandOptions) { o.drainTimeout = d }
}

// WithCommandLogger has [NewStdio] log restarts, and mcp-go what it cannot read
// or write, without secrets. Default: nothing is logged.
func WithCommandLogger(logger *slog.Logger) CommandOption {
	return func(o *commandOptions) {
		if logger != nil {
			o.logger = logger
		}
	}
}
