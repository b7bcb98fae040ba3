package httpx

// Version is that of this module. A test holds it to the newest one in CHANGELOG.md.
const Version = "0.1.0"

// UserAgent is what the requests of this module say they come from (RFC 9110 section 10.1.5).
const UserAgent = "mcptokens/" + Version
