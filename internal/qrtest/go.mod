module github.com/mcptokens/mcptokens/internal/qrtest

go 1.26.0

require (
	github.com/mcptokens/mcptokens v0.0.0
	github.com/mdp/qrterminal/v3 v3.2.1
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	golang.org/x/oauth2 v0.38.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/term v0.48.0 // indirect
	rsc.io/qr v0.2.0 // indirect
)

replace github.com/mcptokens/mcptokens => ../..
