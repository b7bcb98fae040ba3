package wire

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func object(t *testing.T, body string) Object {
	t.Helper()
	o, err := ReadObject([]byte(body))
	if err != nil {
		t.Fatalf("ReadObject(%s): %v", body, err)
	}
	return o
}

//compat:reading a byte order mark, or white space, in front of a document
//compat:default ignored
//compat:attack same
//compat:reading members that decide nothing, twice or in another case
//compat:default the last one; a member that decides something is refused then
//compat:attack same
func TestReadObject(t *testing.T) {
	tests := []struct {
		name, body string
		err        error
	}{
		{"plain", `{"issuer":"a"}`, nil},
		// DollhouseMCP/mcp-server#2520
		{"byte order mark", "\xef\xbb\xbf{\"issuer\":\"a\"}", nil},
		{"space, mark, space", " \n\xef\xbb\xbf\r\n{\"issuer\":\"a\"}\n", nil},
		{"another member twice", `{"issuer":"a","other":1,"other":2}`, nil},
		{"another member in two cases", `{"issuer":"a","other":1,"Other":2}`, nil},
		{"a deciding name deeper down", `{"issuer":"a","other":{"issuer":"b"}}`, nil},

		{"a page", "<!doctype html>", ErrPage},
		{"a page after a mark", "\xef\xbb\xbf <html>{\"issuer\":\"a\"}", ErrPage},
		{"a page that looks like JSON", `{"issuer":"a"}<html>`, ErrNotObject},
		{"two documents", `{"issuer":"a"}{"issuer":"b"}`, ErrNotObject},
		{"two marks", "\xef\xbb\xbf\xef\xbb\xbf{\"issuer\":\"a\"}", ErrNotObject},
		{"empty", "", ErrNotObject},
		{"a list", `[{"issuer":"a"}]`, ErrNotObject},
		{"null", "null", ErrNotObject},
		{"cut off", `{"issuer":"a"`, ErrNotObject},
		{"endless nesting", strings.Repeat(`{"a":`, 100_000), ErrNotObject},

		{"twice", `{"issuer":"a","issuer":"a"}`, ErrAmbiguous},
		{"twice by an escape", `{"issuer":"a","\u0069ssuer":"b"}`, ErrAmbiguous},
		{"null, then a value", `{"issuer":null,"issuer":"b"}`, ErrAmbiguous},
		{"in another case", `{"issuer":"a","Issuer":"b"}`, ErrAmbiguous},
		{"in another case only", `{"ISSUER":"b"}`, ErrAmbiguous},
		{"folded by Unicode", `{"issuer":"a","iſsuer":"b"}`, ErrAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := ReadObject([]byte(tt.body), "issuer")
			if tt.err == nil {
				if s, _ := o.String("issuer"); err != nil || s != "a" {
					t.Errorf("issuer %q, error %v", s, err)
				}
				return
			}
			var e *Error
			if !errors.Is(err, tt.err) || !errors.As(err, &e) {
				t.Errorf("error %v, want %v as an *Error", err, tt.err)
			}
			if o.Has("issuer") {
				t.Error("members beside an error")
			}
		})
	}
}

func TestText(t *testing.T) {
	tests := []struct {
		raw, want string
		bad       bool
	}{
		{`"a"`, "a", false},
		{`""`, "", false},
		{`null`, "", false},
		{`12`, "12", false},
		{`12345678901234567890`, "12345678901234567890", false}, // no float64 in between
		{`-1.50`, "-1.50", false},
		{`true`, "", true},
		{`["a"]`, "", true},
		{`{"a":"b"}`, "", true},
	}
	for _, tt := range tests {
		got, err := object(t, `{"m":`+tt.raw+`}`).String("m")
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%s is %q, %v", tt.raw, got, err)
		}
		if err != nil && (!errors.Is(err, ErrMember) || !strings.HasPrefix(err.Error(), "m ")) {
			t.Errorf("%s: error %v", tt.raw, err)
		}
	}
	if s, err := object(t, `{"M":"a"}`).String("m"); s != "" || err != nil {
		t.Errorf("another name is %q, %v", s, err)
	}
}

//compat:reading a string for a list, a list for a string
//compat:default a list of one; nothing is split that could be a URL
//compat:attack same
func TestLists(t *testing.T) {
	tests := []struct {
		raw         string
		list, words []string
		bad         bool
	}{
		{`["a","b"]`, []string{"a", "b"}, []string{"a", "b"}, false},
		{`"a"`, []string{"a"}, []string{"a"}, false},
		{`"a b"`, []string{"a b"}, []string{"a", "b"}, false},
		{`"a,b"`, []string{"a,b"}, []string{"a", "b"}, false},
		{`["a b","c"]`, []string{"a b", "c"}, []string{"a", "b", "c"}, false},
		{`["a,b"]`, []string{"a,b"}, []string{"a,b"}, false},
		{`"https://h/a,b c"`, []string{"https://h/a,b c"}, []string{"https://h/a", "b", "c"}, false},
		{`["a",null,""]`, []string{"a"}, []string{"a"}, false},
		{`["a",{},true]`, []string{"a"}, []string{"a"}, true},
		{`[1]`, []string{"1"}, []string{"1"}, false},
		{`[]`, []string{}, []string{}, false},
		{`""`, nil, nil, false},
		{`null`, nil, nil, false}, // ory/hydra#4116, sigbit/mcp-auth-proxy#173
		{`{"a":1}`, nil, nil, true},
		{`true`, nil, nil, true},
	}
	for _, tt := range tests {
		o := object(t, `{"m":`+tt.raw+`}`)
		list, err := o.List("m")
		if !slices.Equal(list, tt.list) || (list == nil) != (tt.list == nil) || (err != nil) != tt.bad {
			t.Errorf("List of %s is %#v, %v", tt.raw, list, err)
		}
		words, err := o.Words("m")
		if !slices.Equal(words, tt.words) || (words == nil) != (tt.words == nil) || (err != nil) != tt.bad {
			t.Errorf("Words of %s is %#v, %v", tt.raw, words, err)
		}
	}
}

func TestBool(t *testing.T) {
	tests := []struct {
		raw       string
		want, bad bool
	}{
		{`true`, true, false},
		{`"true"`, true, false},
		{`"True"`, true, false},
		{`1`, true, false},
		{`"1"`, true, false},
		{`false`, false, false},
		{`"false"`, false, false},
		{`0`, false, false},
		{`""`, false, false},
		{`null`, false, false},
		{`"yes"`, false, true},
		{`2`, false, true},
		{`[true]`, false, true},
		{`{}`, false, true},
	}
	for _, tt := range tests {
		if got, err := object(t, `{"m":`+tt.raw+`}`).Bool("m"); got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%s is %v, %v", tt.raw, got, err)
		}
	}
}

//compat:reading numbers as strings, lifetimes as text, dates or 0
//compat:default read as far as they make sense, else not known
//compat:attack same
func TestSeconds(t *testing.T) {
	for raw, want := range map[string]time.Duration{
		`3600`:       time.Hour,
		`"3600"`:     time.Hour, // Entra: modelcontextprotocol/typescript-sdk#1111; NetSuite: #1120; SAP: punkpeye/fastmcp#237
		`" 3600 "`:   time.Hour,
		`3599.5`:     time.Hour - 500*time.Millisecond,
		`"3.6e3"`:    time.Hour,
		`1`:          time.Second,
		`0.2`:        time.Second,
		`1e-9`:       time.Second,
		`"0.001"`:    time.Second,
		`1e10`:       Longest,
		`1e400`:      Longest,
		`1785240000`: Longest, // a point in time
		`3600000`:    3600000 * time.Second,

		`0`:                      0, // QwenLM/qwen-code#5355, spring-projects/spring-security#4810
		`"0"`:                    0,
		`-1`:                     0,
		`-1e400`:                 0,
		`""`:                     0,
		`null`:                   0,
		`false`:                  0,
		`true`:                   0,
		`"soon"`:                 0,
		`"3600s"`:                0,
		`"0x10"`:                 0,
		`"1_000"`:                0,
		`"Inf"`:                  0,
		`"NaN"`:                  0,
		`"1h"`:                   0,
		`[3600]`:                 0,
		`{}`:                     0,
		`"2027-01-02T03:04:05Z"`: 0,
	} {
		if got := object(t, `{"m":`+raw+`}`).Seconds("m"); got != want {
			t.Errorf("%s is %v, want %v", raw, got, want)
		}
	}
}

//compat:reading `client_secret_expires_at` as an empty string, a date or milliseconds
//compat:default read; what cannot be read is never
//compat:attack auth.TestClientSecretExpires
func TestTime(t *testing.T) {
	now := time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)
	then := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		raw  string
		want time.Time
		bad  bool
	}{
		{`1798859045`, then, false},
		{`"1798859045"`, then, false},
		{`1.798859045e9`, then, false},
		{`1798859045000`, then, false},
		{`"1798859045000"`, then, false},
		{`"2027-01-02T03:04:05Z"`, then, false},
		{`"2027-01-02T04:04:05+01:00"`, then, false},
		{`"2027-01-02T03:04:05.000Z"`, then, false},
		{`"2027-01-02T03:04:05"`, then, false},
		{`"2027-01-02 03:04:05"`, then, false},
		{`"2027-01-02"`, time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC), false},

		{`0`, time.Time{}, false}, // cloudflare/workers-oauth-provider#164
		{`"0"`, time.Time{}, false},
		{`""`, time.Time{}, false},
		{`-1`, time.Time{}, false},
		{`false`, time.Time{}, false},
		{`null`, time.Time{}, false},
		{`"never"`, time.Time{}, false},
		{`3600`, time.Time{}, false}, // over
		{`1785240000`, time.Time{}, false},
		{`"2020-01-02"`, time.Time{}, false},

		{`true`, time.Time{}, true},
		{`"tomorrow"`, time.Time{}, true},
		{`1e300`, time.Time{}, true},
		{`[1798859045]`, time.Time{}, true},
		{`{}`, time.Time{}, true},
	}
	for _, tt := range tests {
		got, err := object(t, `{"m":`+tt.raw+`}`).Time("m", now)
		if !got.Equal(tt.want) || (err != nil) != tt.bad {
			t.Errorf("%s is %v, %v, want %v", tt.raw, got, err, tt.want)
		}
	}
}
