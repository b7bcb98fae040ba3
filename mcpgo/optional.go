package mcpgo

import (
	"io"

	mcptransport "github.com/mark3labs/mcp-go/client/transport"
)

// mcp-go asks transports for five optional interfaces. A decorator has to have
// exactly those of the transport below it: with one more, mcp-go would take a
// pipe for HTTP; with one less, a server's requests would find nobody.

type (
	requestHandlerSetter interface {
		SetRequestHandler(handler mcptransport.RequestHandler)
	}
	protocolVersionSetter interface {
		SetProtocolVersion(version string)
	}
	connectionLostSetter interface {
		SetConnectionLostHandler(handler func(error))
	}
	legacyRequirer interface {
		RequiresLegacyProtocol() bool
	}
	stderrReader interface {
		Stderr() io.Reader
	}
)

// optionals are the optional interfaces of a transport; nil: it does not have it.
type optionals struct {
	h requestHandlerSetter
	v protocolVersionSetter
	c connectionLostSetter
	l legacyRequirer
	e stderrReader
}

func optionalsOf(inner mcptransport.Interface) (o optionals) {
	o.h, _ = inner.(requestHandlerSetter)
	o.v, _ = inner.(protocolVersionSetter)
	o.c, _ = inner.(connectionLostSetter)
	o.l, _ = inner.(legacyRequirer)
	o.e, _ = inner.(stderrReader)
	return o
}

// with returns base with the methods of o. A type has the methods of what it
// embeds, so there is a type for each of the 32 combinations.
func (o optionals) with(base mcptransport.Interface) mcptransport.Interface {
	type (
		i = mcptransport.Interface
		h = requestHandlerSetter
		v = protocolVersionSetter
		c = connectionLostSetter
		l = legacyRequirer
		e = stderrReader
	)
	switch [5]bool{o.h != nil, o.v != nil, o.c != nil, o.l != nil, o.e != nil} {
	case [5]bool{true, false, false, false, false}:
		return struct {
			i
			h
		}{base, o.h}
	case [5]bool{false, true, false, false, false}:
		return struct {
			i
			v
		}{base, o.v}
	case [5]bool{true, true, false, false, false}:
		return struct {
			i
			h
			v
		}{base, o.h, o.v}
	case [5]bool{false, false, true, false, false}:
		return struct {
			i
			c
		}{base, o.c}
	case [5]bool{true, false, true, false, false}:
		return struct {
			i
			h
			c
		}{base, o.h, o.c}
	case [5]bool{false, true, true, false, false}:
		return struct {
			i
			v
			c
		}{base, o.v, o.c}
	case [5]bool{true, true, true, false, false}:
		return struct {
			i
			h
			v
			c
		}{base, o.h, o.v, o.c}
	case [5]bool{false, false, false, true, false}:
		return struct {
			i
			l
		}{base, o.l}
	case [5]bool{true, false, false, true, false}:
		return struct {
			i
			h
			l
		}{base, o.h, o.l}
	case [5]bool{false, true, false, true, false}:
		return struct {
			i
			v
			l
		}{base, o.v, o.l}
	case [5]bool{true, true, false, true, false}:
		return struct {
			i
			h
			v
			l
		}{base, o.h, o.v, o.l}
	case [5]bool{false, false, true, true, false}:
		return struct {
			i
			c
			l
		}{base, o.c, o.l}
	case [5]bool{true, false, true, true, false}:
		return struct {
			i
			h
			c
			l
		}{base, o.h, o.c, o.l}
	case [5]bool{false, true, true, true, false}:
		return struct {
			i
			v
			c
			l
		}{base, o.v, o.c, o.l}
	case [5]bool{true, true, true, true, false}:
		return struct {
			i
			h
			v
			c
			l
		}{base, o.h, o.v, o.c, o.l}
	case [5]bool{false, false, false, false, true}:
		return struct {
			i
			e
		}{base, o.e}
	case [5]bool{true, false, false, false, true}:
		return struct {
			i
			h
			e
		}{base, o.h, o.e}
	case [5]bool{false, true, false, false, true}:
		return struct {
			i
			v
			e
		}{base, o.v, o.e}
	case [5]bool{true, true, false, false, true}:
		return struct {
			i
			h
			v
			e
		}{base, o.h, o.v, o.e}
	case [5]bool{false, false, true, false, true}:
		return struct {
			i
			c
			e
		}{base, o.c, o.e}
	case [5]bool{true, false, true, false, true}:
		return struct {
			i
			h
			c
			e
		}{base, o.h, o.c, o.e}
	case [5]bool{false, true, true, false, true}:
		return struct {
			i
			v
			c
			e
		}{base, o.v, o.c, o.e}
	case [5]bool{true, true, true, false, true}:
		return struct {
			i
			h
			v
			c
			e
		}{base, o.h, o.v, o.c, o.e}
	case [5]bool{false, false, false, true, true}:
		return struct {
			i
			l
			e
		}{base, o.l, o.e}
	case [5]bool{true, false, false, true, true}:
		return struct {
			i
			h
			l
			e
		}{base, o.h, o.l, o.e}
	case [5]bool{false, true, false, true, true}:
		return struct {
			i
			v
			l
			e
		}{base, o.v, o.l, o.e}
	case [5]bool{true, true, false, true, true}:
		return struct {
			i
			h
			v
			l
			e
		}{base, o.h, o.v, o.l, o.e}
	case [5]bool{false, false, true, true, true}:
		return struct {
			i
			c
			l
			e
		}{base, o.c, o.l, o.e}
	case [5]bool{true, false, true, true, true}:
		return struct {
			i
			h
			c
			l
			e
		}{base, o.h, o.c, o.l, o.e}
	case [5]bool{false, true, true, true, true}:
		return struct {
			i
			v
			c
			l
			e
		}{base, o.v, o.c, o.l, o.e}
	case [5]bool{true, true, true, true, true}:
		return struct {
			i
			h
			v
			c
			l
			e
		}{base, o.h, o.v, o.c, o.l, o.e}
	}
	return base
}
