// Package wire reads what servers send: metadata, registration, token and
// device answers, and errors. It is the one place that knows how the forms of
// real servers differ from those of the RFCs. It is pure: bytes in, values out.
//
//	o, err := wire.ReadObject(body, "issuer", "token_endpoint") // members that decide
//	issuer, err := o.String("issuer")
//	t, err := wire.ReadToken(contentType, body, requested, time.Now())
//	why := wire.ReadRefusal(body)
//
// The rule is: strict about what decides, lenient about form. A member that
// decides something is read by its exact name and may be there once, also not
// under a name that differs only in case. Otherwise the library and another
// reader, such as a gateway that filters, could understand a document
// differently. A member that nobody uses never makes a document unusable.
//
// # Documents
//
//	sent                                          read as
//	----------------------------------------------------------------------------------
//	byte order mark, white space around           ignored (RFC 8259 section 8.1)
//	a body that begins with <                     a page: ErrPage
//	a JSON array, string, number; broken JSON     ErrNotObject
//	a deciding member twice, or in another case   ErrAmbiguous
//	another member twice                          the last one
//	unknown members                               ignored
//	null                                          absent
//
// # Members
//
//	kind      sent                                read as
//	----------------------------------------------------------------------------------
//	text      "a"; 12                             "a"; "12", as it is written
//	          true, [..], {..}                    an error for this member
//	list      ["a","b"]; "a"                      a, b; a (nothing is split: URLs)
//	          ["a",null,"",{}]                    a, and an error for this member
//	          ""; []                              absent; empty
//	words     "a b", "a,b", ["a b"]               a, b
//	yes/no    true, 1, "true", "True", "1"        yes
//	          false, 0, "false", "0", ""          no
//	          anything else                       no, and an error for this member
//	seconds   3600, "3600", 3599.5, 3.6e3         as it says (Entra, NetSuite, SAP and
//	                                              others send strings)
//	          0.2                                 1 second
//	          0, -1, false, "", "soon", a date    not known
//	          more than 10 years                  10 years: also "never" as a huge
//	                                              number, and a point in time
//	          milliseconds                        seconds: they cannot be told apart
//	time      1785240000, "1785240000"            seconds since 1970
//	          1785240000000 (above 1e11)          milliseconds since 1970
//	          "2027-01-02T03:04:05Z", "2027-01-02", with a space or without a zone
//	          0, "0", "", -1, false, "never"      never
//	          a time that is over                 never: it is the age of a secret that
//	                                              was handed out just now
//	          anything else                       never, and an error for this member
//	scope     "a b", ["a","b"], ["a b"] (Twitch)  a, b
//	          "a,b" (GitHub, Slack)               a, b if a or b was requested and no
//	                                              requested scope has a comma; else the
//	                                              one scope "a,b"
//	          absent, null, "", [], {..}          the scopes requested
//	          more than 64 KiB                    ErrScopes
//
// # Token answers
//
//	sent                                          read as
//	----------------------------------------------------------------------------------
//	JSON under any Content-Type                   JSON
//	access_token=..&scope=.. under any            a form (GitHub without Accept, Facebook)
//	Content-Type but HTML
//	token_type missing, "bearer ", "user",        Bearer
//	"bot", "JWT", "BearerToken", "example"
//	token_type "dpop" in any case                 DPoP
//	a word of token_type is mac, hok, sig,        ErrTokenType: without the proof the
//	signed, signature, httpsig, proof,            token is worth nothing (RFC 6749
//	holderofkey or possession; begins with        section 7.1)
//	hmac, macsha or pop; ends in pop
//	token_type "N_A"                              with issued_token_type: no access token
//	                                              (RFC 8693); without: ErrTokenType
//	refresh_token null, false, "", 0, {..}        none
//	members of other names                        kept as they came, within bounds
//	expires                                       expires_in, if that is absent (Facebook);
//	                                              more than 10 years: a point in time,
//	                                              not known
//	access_token with a space, a control          ErrBadToken
//	character or anything beyond ASCII
//	a token of more than 64 KiB                   ErrBadToken
//	error, or ok:false with it, and no token      RefusedError (GitHub, Slack answer 200)
//	an error beside a token                       the token: it may have cost the refresh
//	                                              token that was sent
//	Slack's authed_user                           not read: it is another token, for
//	                                              another principal (oauth.v2.user.access
//	                                              has the token where it is due)
//	id_token, everything else                     not read
//
// # Device answers
//
//	sent                                          read as
//	----------------------------------------------------------------------------------
//	verification_url                              verification_uri, if that is absent
//	interval below 1, or no number                not known: 5 seconds
//	expires_in                                    as in token answers
//
// # Errors
//
//	sent                                          read as
//	----------------------------------------------------------------------------------
//	{"error":"invalid_grant", ..}                 RFC 6749 section 5.2: the code
//	error=invalid_grant&..                        the same, as a form
//	{"error":"INVALID_GRANT"},                    the code, if it is a registered one, and
//	{"error":"invalid_grant: expired"}            the rest as the description
//	{"error":"Invalid refresh token"}             a description
//	{"error":{"code":"x","message":".."}}         code and description; also error, type
//	{"error_code":"x"}, {"code":"x"}              the code
//	{"code":400}                                  nothing: it is the status again
//	message, msg, detail, title                   the description
//	{"detail":{"error":"x","message":".."}}       code and description
//	[{"message":".."}]                            its one element
//	error, error_code or code twice               nothing
//	a page; a text; an empty body                 nothing
//
// A code is up to 40 lower case letters and underscores: what is longer, or has
// digits, could be a token. Descriptions are cleaned and cut, see package shown.
package wire
