package dashboard

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// unset is a label that a line does not have, in its name.
var unset = regexp.MustCompile(`{{\w+}}`)

// database is a Prometheus that holds samples and scrapes nothing.
type database struct{ url string }

func startPrometheus(t *testing.T, bin, samples string) *database {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	data := filepath.Join(dir, "data")
	if out, err := exec.Command(filepath.Join(bin, "promtool"), "tsdb", "create-blocks-from", "openmetrics", write("samples", samples), data).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(filepath.Join(bin, "prometheus"), "--config.file="+write("config.yaml", "global: {}\n"),
		"--storage.tsdb.path="+data, "--storage.tsdb.retention.time=100y", "--web.listen-address="+address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	db := &database{"http://" + address}
	for range 100 {
		if resp, err := http.Get(db.url + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return db
			}
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Fatal("prometheus does not answer")
	return nil
}

// query is what a panel asks, with Grafana's variables filled in.
func (db *database) query(t *testing.T, q target, from, to time.Time) (all []series) {
	t.Helper()
	expr := strings.NewReplacer("$__rate_interval", "2m", "$issuer", ".*").Replace(q.Expr)
	resp, err := http.Get(db.url + "/api/v1/query_range?" + url.Values{
		"query": {expr}, "start": {fmt.Sprint(from.Unix())}, "end": {fmt.Sprint(to.Unix())}, "step": {"30"},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		t.Fatalf("%s: %v %s", expr, err, answer.Error)
	}
	for _, r := range answer.Data.Result {
		var s series
		s.label = q.LegendFormat
		for name, value := range r.Metric {
			s.label = strings.ReplaceAll(s.label, "{{"+name+"}}", value)
		}
		s.label = unset.ReplaceAllString(s.label, "")
		for _, v := range r.Values {
			value, err := strconv.ParseFloat(v[1].(string), 64)
			if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
				continue
			}
			s.at, s.value = append(s.at, time.Unix(int64(v[0].(float64)), 0)), append(s.value, value)
		}
		if len(s.value) > 0 {
			all = append(all, s)
		}
	}
	return all
}
