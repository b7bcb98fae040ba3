// Package browser takes the user to an authorization server and brings the
// answer back (RFC 8252). Give one of its user agents to a grant that needs a
// person:
//
//	g := grant.AuthorizationCode{UserAgent: browser.Loopback{}}
//
// [Loopback] is for people: it opens their browser and listens on 127.0.0.1
// for the redirect. Where no browser opens, such as over SSH, it shows the
// address on the terminal and takes the answer there as well. [Paste] is for
// machines where nothing can listen: the user pastes the answer. [Headless] is
// for authorization servers that approve without showing a page, such as those
// of test suites: it follows the redirects itself and opens nothing.
package browser
