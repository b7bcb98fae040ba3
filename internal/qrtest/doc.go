// Package qrtest shows a QR code at a login, drawn by
// github.com/mdp/qrterminal. It is a module of its own, so that no library for QR
// codes is a dependency of this one:
//
//	cd internal/qrtest && go test ./...
package qrtest
