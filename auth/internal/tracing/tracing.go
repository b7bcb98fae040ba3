// Package tracing tells a program's tracer and its log what happens. Both get the
// same story, so that a program without a tracer finds it in the log.
package tracing

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtrace"
	"github.com/mcptokens/mcptokens/auth/internal/acting"
	"github.com/mcptokens/mcptokens/internal/errtext"
	"github.com/mcptokens/mcptokens/internal/shown"
)

// Reporter holds a tracer and a logger. It is immutable and safe for concurrent
// use.
type Reporter struct {
	tracer authtrace.Tracer // never nil
	log    *slog.Logger
	traced bool // there is a tracer
	silent bool // neither tracer nor log: nobody hears of waits and requests
}

// New returns a reporter to t and to log. Either may be nil.
func New(t authtrace.Tracer, log *slog.Logger) *Reporter {
	if t == nil && (log == nil || log.Handler() == slog.DiscardHandler) {
		return silent
	}
	if log == nil {
		log = silent.log
	}
	r := &Reporter{tracer: t, log: log, traced: t != nil}
	if t == nil {
		r.tracer = authtrace.Nop{}
	}
	return r
}

// silent is what most programs have: they share it.
var silent = &Reporter{tracer: authtrace.Nop{}, log: slog.New(slog.DiscardHandler), silent: true}

// Silent reports that nobody hears of waits, resends and refusals. Ask before
// the call where there are thousands.
func (r *Reporter) Silent() bool { return r.silent }

// Traced reports that there is a tracer.
func (r *Reporter) Traced() bool { return r.traced }

// Start tells of an operation that begins; see [authtrace.Tracer].
func (r *Reporter) Start(ctx context.Context, s authtrace.Start) context.Context {
	return r.StartLinked(ctx, context.Background(), s)
}

// StartLinked is Start for an operation with a link.
func (r *Reporter) StartLinked(ctx, link context.Context, s authtrace.Start) context.Context {
	switch s := s.(type) {
	case authtrace.AuthorizationStart:
		ctx = r.about(ctx, s.Resource, "")
	case authtrace.DiscoveryStart:
		ctx = r.about(ctx, s.Resource, s.Issuer)
	case authtrace.ExchangeStart:
		ctx = r.about(ctx, "", s.Issuer)
	case authtrace.RegistrationStart:
		ctx = r.about(ctx, "", s.Issuer)
	case authtrace.RevocationStart:
		ctx = r.about(ctx, "", s.Issuer)
	case authtrace.UserStart:
		ctx = r.about(ctx, "", s.Issuer)
	}
	return r.tracer.Start(ctx, link, s)
}

// names are what an operation is about. They stand in its lines of the log, of which
// some are written where only the operation's context is known.
type names struct{ resource, issuer string }

type namesKey struct{}

// At returns ctx for work that an authorization server's answer has led to.
func (r *Reporter) At(ctx context.Context, issuer string) context.Context {
	return r.about(ctx, "", issuer)
}

func (r *Reporter) about(ctx context.Context, resource, issuer string) context.Context {
	if r.silent {
		return ctx
	}
	if above, ok := ctx.Value(namesKey{}).(names); ok {
		resource = cmp.Or(resource, above.resource)
	}
	return context.WithValue(ctx, namesKey{}, names{resource, issuer})
}

// withNames returns attrs with the names of ctx's operation in front, without those that
// attrs has.
func withNames(ctx context.Context, attrs []slog.Attr) []slog.Attr {
	n, _ := ctx.Value(namesKey{}).(names)
	f := acting.From(ctx)
	for _, a := range []slog.Attr{slog.String("subject", f.Shown), slog.String("issuer", cmp.Or(n.issuer, f.Issuer())), slog.String("resource", cmp.Or(n.resource, f.Resource))} {
		if a.Value.String() != "" && !slices.ContainsFunc(attrs, func(b slog.Attr) bool { return a.Key == b.Key }) {
			attrs = append([]slog.Attr{a}, attrs...)
		}
	}
	return attrs
}

// Link names the operation of ctx for another process; empty: it has no name.
func (r *Reporter) Link(ctx context.Context) string {
	if l, ok := r.tracer.(authtrace.Linker); ok {
		return l.Link(ctx)
	}
	return ""
}

// Linked returns a context that stands for what Link named.
func (r *Reporter) Linked(link string) context.Context {
	if l, ok := r.tracer.(authtrace.Linker); ok && link != "" {
		return l.Linked(link)
	}
	return context.Background()
}

// End tells of the end of an operation.
func (r *Reporter) End(ctx context.Context, e authtrace.End) { r.tracer.End(ctx, e) }

// StartRefresh is StartLinked for a refresh, the one operation that is frequent:
// without a tracer s is not put in an interface, which would allocate.
func (r *Reporter) StartRefresh(ctx, caller context.Context, s authtrace.RefreshStart) context.Context {
	ctx = r.about(ctx, s.Resource, s.Issuer)
	if !r.traced {
		return ctx
	}
	return r.tracer.Start(ctx, caller, s)
}

// EndRefresh is End for a refresh, as StartRefresh is its start.
func (r *Reporter) EndRefresh(ctx context.Context, e authtrace.RefreshEnd) {
	if r.traced {
		r.tracer.End(ctx, e)
	}
}

// Attempt tells of one try of an operation.
func (r *Reporter) Attempt(ctx context.Context, a authtrace.Attempt) {
	if r.traced {
		r.tracer.Point(ctx, a)
	}
	if a.Err != nil && a.Wait > 0 {
		r.write(ctx, slog.LevelInfo, "request failed and will be sent again", slog.Int("attempt", a.Number),
			slog.Duration("wait", a.Wait), cause(a.Err))
	}
}

// Step tells of a step that began at start.
func (r *Reporter) Step(ctx context.Context, kind authtrace.StepKind, start time.Time, err error) {
	s := authtrace.Step{Kind: kind, Duration: time.Since(start), Err: err}
	if r.traced {
		r.tracer.Point(ctx, s)
	}
	r.Debug(ctx, "store", err, slog.String("step", string(kind)), slog.Duration("duration", s.Duration))
}

// Resend tells of a request that goes again with the same token.
func (r *Reporter) Resend(ctx context.Context, p authtrace.Resend) {
	if r.silent {
		return
	}
	if r.traced {
		r.tracer.Point(ctx, p)
	}
	r.Debug(ctx, "request sent again with the same token", nil, slog.String("resource", p.Resource),
		slog.Duration("delay", p.Delay), slog.Int("tries", p.Tries))
}

// Refused tells of a call that gets an error while nothing is sent for it.
func (r *Reporter) Refused(ctx context.Context, p authtrace.Refused) {
	if r.silent {
		return
	}
	if r.traced {
		r.tracer.Point(ctx, p)
	}
	r.Debug(ctx, "refused at once", p.Err, slog.String("resource", p.Resource), slog.Time("retry_at", p.RetryAt))
}

// Wait tells of a wait that begins, and by the function it returns of its end.
// operation returns the context of what is waited for; it is called only if there
// is a tracer, and may block until the operation has begun or ctx has ended.
func (r *Reporter) Wait(ctx context.Context, w authtrace.WaitStart, operation func(context.Context) context.Context) func(error) {
	if !r.traced && !r.log.Enabled(ctx, slog.LevelDebug) {
		return func(error) {}
	}
	start := time.Now()
	if r.traced {
		ctx = r.tracer.Start(ctx, operation(ctx), w)
	}
	return func(err error) {
		took := time.Since(start)
		if r.traced {
			r.tracer.End(ctx, authtrace.WaitEnd{For: w.For, Duration: took, Err: err})
		}
		r.Debug(ctx, "waited", err, slog.String("for", string(w.For)), slog.Duration("duration", took))
	}
}

// Debug logs what is of interest only when looking for a fault.
func (r *Reporter) Debug(ctx context.Context, msg string, err error, attrs ...slog.Attr) {
	if !r.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	if err != nil {
		attrs = append(attrs, kind(err))
	}
	r.write(ctx, slog.LevelDebug, msg, attrs...)
}

// Say logs what changes, or should have changed, what a user has.
func (r *Reporter) Say(ctx context.Context, msg string, err error, attrs ...slog.Attr) {
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, cause(err))
	}
	r.write(ctx, level, msg, attrs...)
}

// Ended logs how something ended, in the words of done or, with err, of failed.
func (r *Reporter) Ended(ctx context.Context, done, failed string, err error, attrs ...slog.Attr) {
	if err != nil {
		done = failed
	}
	r.Say(ctx, done, err, attrs...)
}

// Log logs err at a level of its own.
func (r *Reporter) Log(ctx context.Context, level slog.Level, msg string, err error, attrs ...slog.Attr) {
	r.write(ctx, level, msg, append(attrs, cause(err))...)
}

// write logs a line. It is the only way into the log: a server chose some of the
// values, such as a client_id or scopes, so all texts are cleaned and bounded here.
func (r *Reporter) write(ctx context.Context, level slog.Level, msg string, attrs ...slog.Attr) {
	if !r.log.Enabled(ctx, level) {
		return
	}
	attrs = withNames(ctx, attrs)
	fit := make([]any, len(attrs))
	for i, a := range attrs {
		switch v := a.Value.Any().(type) {
		case string:
			a.Value = slog.StringValue(shown.Text(v))
		case []string:
			if words := shown.Words(v); words != strings.Join(v, " ") {
				a.Value = slog.StringValue(words)
			}
		}
		fit[i] = a
	}
	r.log.Log(ctx, level, msg, fit...)
}

// kind is what an error that a call gets is about. Its text may name the operation of
// the caller, a tool or a file of the user, which does not belong in a log.
func kind(err error) slog.Attr {
	return slog.String("error", strings.TrimPrefix(errtext.Describe(err), "auth: "))
}

// cause is what an error of an operation says: the errors of this module, and of the
// program's own store and grant, say nothing secret; what net/http says is put in words.
func cause(err error) slog.Attr {
	return slog.String("error", strings.TrimPrefix(errtext.Text(err), "auth: "))
}
