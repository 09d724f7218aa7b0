package chinaums

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func internalClient(t *testing.T, baseURL string) *Client {
	t.Helper()
	client, err := New(Options{
		BaseURL: baseURL, Path: "/", Credentials: Credentials{AppID: "app", AppKey: "key"}, Timeout: 30 * time.Second, Concurrency: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestHTTPSWithOneQuestionAConnection(t *testing.T) {
	t.Parallel()
	var protocol string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol = r.Proto
		_, _ = io.WriteString(w, `{"errCode":"SUCCESS"}`)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	order := Request{MID: "898340149000005", TID: "88880001", MerOrderID: "319420230831135026"}
	client := internalClient(t, server.URL)

	if _, err := client.Query(t.Context(), order); err == nil {
		t.Error("an unknown certificate was trusted")
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	client.kept.TLSClientConfig = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
	if _, err := client.Query(t.Context(), order); err != nil || protocol != "HTTP/1.1" {
		t.Errorf("got %s, %v", protocol, err)
	}
}
