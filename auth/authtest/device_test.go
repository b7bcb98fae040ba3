package authtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcptokens/mcptokens/auth/authtest"
)

const typeDevice = "urn:ietf:params:oauth:grant-type:device_code"

// device starts a device authorization and returns its answer and a function that polls.
func device(t *testing.T, srv *authtest.Server, resource string) (started reply, poll func() reply) {
	t.Helper()
	v := form("client_id", clientID, "scope", "read")
	if resource != "" {
		v.Set("resource", resource)
	}
	started = post(t, srv, authtest.DeviceEndpoint, v)
	if started.status != 200 || started.text("verification_uri") == "" || started.text("user_code") == "" {
		t.Fatalf("%d %s", started.status, started.body)
	}
	return started, func() reply {
		return post(t, srv, authtest.TokenEndpoint, form("grant_type", typeDevice, "client_id", clientID, "device_code", started.text("device_code")))
	}
}

func TestDeviceApproved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{})
		res := srv.Protect(ok, authtest.Protection{Scopes: []string{"read"}})
		started, poll := device(t, srv, res.URL)
		waiting := srv.DeviceRequests()
		if len(waiting) != 1 || waiting[0].UserCode != started.text("user_code") || waiting[0].ClientID != clientID || waiting[0].Resource != res.URL {
			t.Fatalf("DeviceRequests = %+v", waiting)
		}
		if r := poll(); r.text("error") != "authorization_pending" {
			t.Errorf("first poll: %s", r.body)
		}
		time.Sleep(4 * time.Second)
		if r := poll(); r.text("error") != "slow_down" {
			t.Errorf("early poll: %s", r.body)
		}
		time.Sleep(9 * time.Second)
		if r := poll(); r.text("error") != "slow_down" {
			t.Errorf("poll within the longer interval: %s", r.body)
		}
		if err := srv.ApproveDevice(waiting[0].UserCode); err != nil {
			t.Error(err)
		}
		time.Sleep(15 * time.Second)
		r := poll()
		if c := call(t, srv, res.URL, r.text("access_token"), ""); c.status != 200 {
			t.Errorf("%s opens the resource with %d", r.body, c.status)
		}
		if r := poll(); r.text("error") != "invalid_grant" {
			t.Errorf("second use: %s", r.body)
		}
		if err := srv.DenyDevice(waiting[0].UserCode); err == nil || len(srv.DeviceRequests()) != 0 {
			t.Errorf("decided twice: %v", err)
		}
		if n := srv.Counts().Device; n != 1 {
			t.Errorf("%d device requests counted", n)
		}
	})
}

func TestDeviceDeniedAndExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t, authtest.Config{DeviceCodeTTL: time.Minute, DeviceInterval: 10 * time.Second})
		started, poll := device(t, srv, "")
		if started.json["interval"] != 10.0 || started.json["expires_in"] != 60.0 {
			t.Errorf("answer %s", started.body)
		}
		if err := srv.DenyDevice(started.text("user_code")); err != nil {
			t.Error(err)
		}
		if r := poll(); r.text("error") != "access_denied" {
			t.Errorf("denied: %s", r.body)
		}
		late, poll := device(t, srv, "")
		time.Sleep(time.Minute)
		if r := poll(); r.text("error") != "expired_token" {
			t.Errorf("expired: %s", r.body)
		}
		if err := srv.ApproveDevice(late.text("user_code")); err == nil {
			t.Error("an expired request was approved")
		}
	})
}

func TestDeviceRefusals(t *testing.T) {
	srv := newServer(t, authtest.Config{ScopesSupported: []string{"read"}})
	srv.AddClient("other", "")
	srv.Protect(ok, authtest.Protection{})
	started, _ := device(t, srv, "")
	registered := register(t, srv, `{"redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"none"}`).text("client_id")
	tests := []struct {
		name  string
		at    authtest.Endpoint
		pairs []string
		want  string
	}{
		{"unknown client", authtest.DeviceEndpoint, []string{"client_id", "nobody"}, "invalid_client"},
		{"client for other grants", authtest.DeviceEndpoint, []string{"client_id", registered}, "unauthorized_client"},
		{"unknown resource", authtest.DeviceEndpoint, []string{"client_id", clientID, "resource", "https://elsewhere.example"}, "invalid_target"},
		{"unknown scope", authtest.DeviceEndpoint, []string{"client_id", clientID, "scope", "write"}, "invalid_scope"},
		{"another client's code", authtest.TokenEndpoint, []string{"grant_type", typeDevice, "client_id", "other", "device_code", started.text("device_code")}, "invalid_grant"},
		{"unknown code", authtest.TokenEndpoint, []string{"grant_type", typeDevice, "client_id", clientID, "device_code", "guess"}, "invalid_grant"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := post(t, srv, tt.at, form(tt.pairs...)); r.text("error") != tt.want {
				t.Errorf("%d %s, want %s", r.status, r.body, tt.want)
			}
		})
	}
	if r := get(t, srv, started.text("verification_uri_complete")); r.status != 200 {
		t.Errorf("the page for the user: %d", r.status)
	}
}
