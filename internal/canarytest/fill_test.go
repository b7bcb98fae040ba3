package canarytest

import (
	"crypto"
	"io"
	"path"
	"reflect"
	"strings"
	"unsafe"
)

const module = "github.com/mcptokens/mcptokens/"

// mark is in every secret.
const mark = "HUSHHUSH"

// harmless is in all fields that may be printed.
const harmless = "(public)"

// filled returns a new T whose strings, bytes and maps hold a secret each, but for the
// fields that are listed as public.
func filled[T any]() *T {
	v := new(T)
	fill(reflect.ValueOf(v).Elem(), mark, 0)
	return v
}

// fill fills v, also in unexported fields. secret is what its texts become.
func fill(v reflect.Value, secret string, depth int) {
	if depth > 6 {
		return
	}
	if !v.CanSet() { // an unexported field
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(secret)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(secret))
			return
		}
		one := reflect.New(v.Type().Elem()).Elem()
		fill(one, secret, depth+1)
		v.Set(reflect.Append(v, one))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), secret, depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, secret, depth+1)
		fill(value, secret, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		if ours(v.Type().Elem()) {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), secret, depth+1)
		}
	case reflect.Interface:
		switch v.Type() {
		case reflect.TypeFor[crypto.Signer]():
			v.Set(reflect.ValueOf(signer{secret}))
		case reflect.TypeFor[error]():
			v.Set(reflect.ValueOf(&cause{secret}))
		}
	case reflect.Struct:
		if v.Type().PkgPath() != "" && !ours(v.Type()) {
			return // time.Time, sync.Mutex
		}
		for i := range v.NumField() {
			text := secret
			switch name := fieldName(v.Type(), i); {
			case text == harmless || listed(publicFields, name):
				text = harmless
			case listed(shownURLs, name):
				text = "https://" + mark + ":" + mark + "@host.example.com/path?key=" + mark + "#" + mark
			default:
				text = mark + "-" + strings.ReplaceAll(name, ".", "-")
			}
			fill(v.Field(i), text, depth+1)
		}
	}
}

// ours reports whether t is one of the types of the packages that are examined.
func ours(t reflect.Type) bool {
	dir, in := strings.CutPrefix(t.PkgPath(), module)
	return in && t.Kind() == reflect.Struct && !strings.Contains(dir, "internal/")
}

// fieldName is a field as the list of public ones has it: "auth.Token.Expiry".
func fieldName(t reflect.Type, i int) string {
	return path.Base(t.PkgPath()) + "." + t.Name() + "." + t.Field(i).Name
}

// cause is an error of a program's own, whose text is fit to be shown.
type cause struct{ Detail string }

func (*cause) Error() string { return harmless }

// signer is a private key of a program's own.
type signer struct{ Private string }

func (signer) Public() crypto.PublicKey { return nil }

func (signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }
