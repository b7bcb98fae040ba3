package mcpgo

import mcptransport "github.com/mark3labs/mcp-go/client/transport"

// mcp-go asks transports for four optional interfaces. A decorator has to have
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
)

// withOptional returns base with the optional interfaces that inner has.
func withOptional(base mcptransport.Interface, inner mcptransport.Interface) mcptransport.Interface {
	handlers, hasHandlers := inner.(requestHandlerSetter)
	versions, hasVersions := inner.(protocolVersionSetter)
	lost, hasLost := inner.(connectionLostSetter)
	legacy, hasLegacy := inner.(legacyRequirer)

	// Short names, for the table below.
	type (
		i = mcptransport.Interface
		h = requestHandlerSetter
		v = protocolVersionSetter
		c = connectionLostSetter
		l = legacyRequirer
	)
	switch [4]bool{hasHandlers, hasVersions, hasLost, hasLegacy} {
	case [4]bool{true, false, false, false}:
		return struct {
			i
			h
		}{base, handlers}
	case [4]bool{false, true, false, false}:
		return struct {
			i
			v
		}{base, versions}
	case [4]bool{true, true, false, false}:
		return struct {
			i
			h
			v
		}{base, handlers, versions}
	case [4]bool{false, false, true, false}:
		return struct {
			i
			c
		}{base, lost}
	case [4]bool{true, false, true, false}:
		return struct {
			i
			h
			c
		}{base, handlers, lost}
	case [4]bool{false, true, true, false}:
		return struct {
			i
			v
			c
		}{base, versions, lost}
	case [4]bool{true, true, true, false}:
		return struct {
			i
			h
			v
			c
		}{base, handlers, versions, lost}
	case [4]bool{false, false, false, true}:
		return struct {
			i
			l
		}{base, legacy}
	case [4]bool{true, false, false, true}:
		return struct {
			i
			h
			l
		}{base, handlers, legacy}
	case [4]bool{false, true, false, true}:
		return struct {
			i
			v
			l
		}{base, versions, legacy}
	case [4]bool{true, true, false, true}:
		return struct {
			i
			h
			v
			l
		}{base, handlers, versions, legacy}
	case [4]bool{false, false, true, true}:
		return struct {
			i
			c
			l
		}{base, lost, legacy}
	case [4]bool{true, false, true, true}:
		return struct {
			i
			h
			c
			l
		}{base, handlers, lost, legacy}
	case [4]bool{false, true, true, true}:
		return struct {
			i
			v
			c
			l
		}{base, versions, lost, legacy}
	case [4]bool{true, true, true, true}:
		return struct {
			i
			h
			v
			c
			l
		}{base, handlers, versions, lost, legacy}
	}
	return base
}
