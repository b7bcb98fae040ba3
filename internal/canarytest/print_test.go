package canarytest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

// verbs are all ways in which fmt shows a value, those that are wrong for it too.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%+q", "%x", "%X", "% x", "%d", "%t", "%o", "%b", "%c", "%U", "%e"}

// holder has a pointer where fmt can call no method. fmt prints it as an address, but for
// verbs that are wrong for pointers: those dump what it points to. go vet reports them.
type holder[T any] struct{ p *T }

func (holder[T]) hides(*T) {}

// nested is v in all that a program could keep it in.
func nested[T any](v *T) map[string]any {
	all := map[string]any{
		"pointer":          v,
		"slice":            []*T{v},
		"array":            [1]*T{v},
		"map":              map[string]*T{"k": v},
		"struct":           struct{ X *T }{v},
		"deep":             &struct{ X []map[string]any }{[]map[string]any{{"k": v}}},
		"embedded":         struct{ Any any }{[]any{v}},
		"unexported field": holder[T]{v},
		"in a pointer":     &holder[T]{v},
		"map key":          map[*T]int{v: 1},
		"channel":          &v,
	}
	if opaque(reflect.TypeFor[T]()) {
		return all // go vet lets nobody copy it
	}
	all["value"] = *v
	all["values"] = []T{*v}
	all["value in an array"] = [1]T{*v}
	all["value in a map"] = map[string]T{"k": *v}
	all["value in a struct"] = struct{ X T }{*v}
	all["value in an interface"] = struct{ X any }{*v}
	all["values deep down"] = &struct{ X []map[string][]T }{[]map[string][]T{{"k": {*v}}}}
	if reflect.ValueOf(v).Elem().Comparable() {
		m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[T](), reflect.TypeFor[int]()))
		m.SetMapIndex(reflect.ValueOf(v).Elem(), reflect.ValueOf(1))
		all["value as a map key"] = m.Interface()
	}
	return all
}

// opaque reports whether a type has a mutex: its values are made by functions and stay
// where they are.
func opaque(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i).Type; strings.HasPrefix(f.PkgPath(), "sync") || f.Kind() == reflect.Struct && opaque(f) {
			return true
		}
	}
	return false
}

// errorVerbs are the verbs that ask an error for its text. The others take it apart, down to a
// cause that may be anybody's.
var errorVerbs = []string{"%v", "%+v", "%s", "%q", "%x", "%X"}

// pointerVerbs are the verbs for pointers.
var pointerVerbs = []string{"%v", "%+v", "%#v", "%p", "%x", "%X", "%d", "%o", "%b"}

// printed is all that comes out when a program writes v.
func printed(v any, verbs []string) map[string]string {
	out := make(map[string]string)
	for _, verb := range verbs {
		out[verb] = fmt.Sprintf(verb, v)
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).With("first", v).WithGroup("g").Info("it", "value", v, slog.Group("g", slog.Any("value", v)))
		out[name] = b.String()
	}
	encoded, err := json.Marshal(v)
	out["JSON"] = string(encoded) + fmt.Sprint(err)
	return out
}

// leaks are the ways in which a secret in v comes out.
func leaks[T any](v *T) (found []string) {
	for where, n := range nested(v) {
		verbs := verbs
		if _, is := any(v).(error); is {
			verbs = errorVerbs
		}
		if _, is := n.(interface{ hides(*T) }); is {
			verbs = pointerVerbs
		}
		for how, text := range printed(n, verbs) {
			if spot := sing(text); spot != "" {
				found = append(found, fmt.Sprintf("%s, %s: %.200s", where, how, spot))
			}
		}
	}
	return found
}

// sing returns the part of a text that holds a secret, however it is written.
func sing(text string) string {
	for _, in := range []string{text, strings.ToUpper(text)} {
		for _, m := range marks {
			if i := strings.Index(in, m); i >= 0 {
				return text[max(0, i-60):min(len(text), i+60)]
			}
		}
	}
	return ""
}

// marks are the ways in which fmt and encoding/json write the mark of secrets.
var marks = func() []string {
	b := []byte(mark)
	list := []string{mark, strings.ToUpper(hex.EncodeToString(b)), fmt.Sprintf("% X", b)}
	for _, verb := range []string{"%d", "%o", "%b", "%c", "%U"} {
		list = append(list, strings.Trim(fmt.Sprintf(verb, b), "[]"))
	}
	list = append(list, strings.ToUpper(strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}")))
	for off := range 3 {
		e := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", off) + mark))
		list = append(list, e[(off*8+5)/6:(off+len(mark))*8/6])
	}
	return list
}()

// A scanner that finds nothing would pass every test.
func TestCanarySings(t *testing.T) {
	type text struct{ Secret string }
	type binary struct{ Secret []byte }
	type inside struct {
		m map[string]text
		b []binary
	}
	for name, found := range map[string][]string{
		"text":   leaks(&text{mark}),
		"bytes":  leaks(&binary{[]byte(mark)}),
		"inside": leaks(&inside{map[string]text{"k": {mark}}, []binary{{[]byte("xy" + mark)}}}),
	} {
		t.Logf("%s: %d leaks", name, len(found))
		for _, how := range []string{"%v", "%+v", "%#v", "%x", "%X", "%d", "slog text"} {
			if !strings.Contains(strings.Join(found, "\n"), "value in a struct, "+how+":") {
				t.Errorf("%s: no leak is found by %s", name, how)
			}
		}
		if name != "inside" && !strings.Contains(strings.Join(found, "\n"), "values deep down, JSON:") {
			t.Errorf("%s: no leak is found in JSON", name)
		}
	}
	if sing("nothing of the kind") != "" {
		t.Error("found where there is none")
	}
}
