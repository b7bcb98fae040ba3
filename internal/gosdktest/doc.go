// Package gosdktest shows that the client of the official Go SDK
// (github.com/modelcontextprotocol/go-sdk), given an [http.Client] with this
// module's RoundTripper, gets the whole token life cycle. It is a module of its
// own, so that the SDK is no dependency of this one:
//
//	cd internal/gosdktest && go test ./...
package gosdktest
