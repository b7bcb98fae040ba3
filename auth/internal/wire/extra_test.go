package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestExtra(t *testing.T) {
	big := strings.Repeat("x", MaxExtra-len(`id_token""`))
	for name, tt := range map[string]struct {
		body string
		want map[string]string
	}{
		"nothing else":        {`"token_type":"Bearer","expires_in":5,"scope":"a","refresh_token":"r","expires":9`, nil},
		"about a failure":     {`"error_description":"x","error_uri":"y"`, nil},
		"an id_token":         {`"id_token":"i"`, map[string]string{"id_token": `"i"`}},
		"of a provider":       {`"team":{"id": 1},"list":[1,"a"],"yes":true,"n":1e400`, map[string]string{"team": `{"id": 1}`, "list": `[1,"a"]`, "yes": "true", "n": "1e400"}},
		"null":                {`"id_token":null,"a":null`, nil},
		"twice":               {`"a":1,"b":2,"a":3`, map[string]string{"a": "3", "b": "2"}},
		"twice, then null":    {`"a":1,"a":null`, nil},
		"not UTF-8":           {"\"a\":\"\xff\",\"\xff\":1,\"b\":1", map[string]string{"b": "1"}},
		"escaped":             {`"\u0061":"\u003c"`, map[string]string{"a": `"\u003c"`}},
		"as much as possible": {`"a":1,"id_token":"` + big + `","b":1`, map[string]string{"id_token": `"` + big + `"`}},
		"too much":            {`"a":1,"id_token":"` + big + `x","b":1`, map[string]string{"a": "1", "b": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadToken("application/json", []byte(`{"access_token":"t",`+tt.body+`}`), nil, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if texts := asTexts(got.Extra); !reflect.DeepEqual(texts, tt.want) {
				t.Errorf("%v, want %v", texts, tt.want)
			}
		})
	}
	got, err := ReadToken("", []byte("access_token=t&scope=a&team=%22x%22"), nil, time.Now())
	if want := map[string]string{"team": `"\"x\""`}; err != nil || !reflect.DeepEqual(asTexts(got.Extra), want) {
		t.Errorf("in a form: %v, want %v (%v)", asTexts(got.Extra), want, err)
	}
}

// What a server says is bounded, in bytes and in members, and so is what gathers
// over many refreshes.
func TestExtraIsBounded(t *testing.T) {
	var all map[string]json.RawMessage
	for i := range 100 {
		var b strings.Builder
		for j := range 100 {
			fmt.Fprintf(&b, `,"m%d-%d":%q`, i, j, strings.Repeat("x", i*5))
		}
		got, err := ReadToken("", []byte(`{"access_token":"t"`+b.String()+`}`), nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		all = MergeExtra(got.Extra, all)
		size := 0
		for name, value := range all {
			size += len(name) + len(value)
		}
		if size > MaxExtra || len(all) > maxExtras || len(got.Extra) == 0 {
			t.Fatalf("%d members with %d bytes", len(all), size)
		}
	}
}

func TestMergeExtra(t *testing.T) {
	of := func(s string) (m map[string]json.RawMessage) {
		if err := json.Unmarshal([]byte(s), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, tt := range []struct{ now, old, want string }{
		{"null", "null", "null"},
		{`{"a":1}`, "null", `{"a":1}`},
		{"null", `{"a":1}`, `{"a":1}`},
		{`{"a":2}`, `{"a":1,"id_token":"i"}`, `{"a":2,"id_token":"i"}`},
	} {
		now, old := of(tt.now), of(tt.old)
		before := [2]map[string]json.RawMessage{maps.Clone(now), maps.Clone(old)}
		if got := MergeExtra(now, old); !reflect.DeepEqual(got, of(tt.want)) {
			t.Errorf("%s after %s: %v, want %s", tt.now, tt.old, asTexts(got), tt.want)
		}
		if !reflect.DeepEqual(before, [2]map[string]json.RawMessage{now, old}) {
			t.Errorf("%s after %s: an argument changed", tt.now, tt.old)
		}
	}
}

func asTexts(m map[string]json.RawMessage) (texts map[string]string) {
	for name, value := range m {
		if texts == nil {
			texts = make(map[string]string)
		}
		texts[name] = string(value)
	}
	return texts
}
