// Package dashboard draws docs/images/dashboard.svg: what the dashboard in
// otelauth/dashboards shows of a day that did not go well. The managers, the servers
// and the metrics are the library's own, in fake time; Prometheus answers the
// dashboard's queries.
//
//	go test ./internal/dashboard -run TestPicture -update -prometheus DIR
//
// DIR has the programs prometheus and promtool. Without -update the test compares the
// panels of the picture with those of the dashboard, and needs no Prometheus.
package dashboard
