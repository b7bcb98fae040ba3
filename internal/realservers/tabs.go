//go:build realservers

package realservers

import (
	"net/http"
	"net/url"
)

// Tab opens another tab, which shares the cookies of the others, and goes on in it.
// It returns the tab that was left, for [Browser.Switch].
func (b *Browser) Tab() (left string) {
	b.t.Helper()
	b.call(http.MethodGet, b.session+"/window", nil, &left)
	var made struct{ Handle string }
	b.call(http.MethodPost, b.session+"/window/new", object{"type": "tab"}, &made)
	b.Switch(made.Handle)
	return left
}

// Switch goes on in another tab.
func (b *Browser) Switch(tab string) {
	b.t.Helper()
	b.call(http.MethodPost, b.session+"/window", object{"handle": tab}, nil)
}

// Back presses the back button.
func (b *Browser) Back() {
	b.t.Helper()
	b.call(http.MethodPost, b.session+"/back", object{}, nil)
}

// Reload loads the page again.
func (b *Browser) Reload() {
	b.t.Helper()
	b.call(http.MethodPost, b.session+"/refresh", object{}, nil)
}

// Address is what the address bar shows.
func (b *Browser) Address() (address string) {
	b.t.Helper()
	b.call(http.MethodGet, b.session+"/url", nil, &address)
	return address
}

// Cookie is one that the browser keeps.
type Cookie struct {
	Name, Value, Path, SameSite string
	Secure, HTTPOnly            bool
}

// Cookies are those of the site that the tab shows.
func (b *Browser) Cookies() (cookies []Cookie) {
	b.t.Helper()
	b.call(http.MethodGet, b.session+"/cookie", nil, &cookies)
	return cookies
}

// DropCookie removes one of the site that the tab shows.
func (b *Browser) DropCookie(name string) {
	b.t.Helper()
	b.call(http.MethodDelete, b.session+"/cookie/"+url.PathEscape(name), nil, nil)
}
