package chinaums

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkDecode reads an answer and masks what is kept of it.
func BenchmarkDecode(b *testing.B) {
	scan := newSecretScan("app-key")
	header := newAuthorizer(Credentials{AppID: "app", AppKey: "app-key"})("20260601120000", "000102030405060708090a0b0c0dfeff", nil)
	eachSample(b, func(body []byte) {
		var a Answer
		_ = a.decodeBody(body, scan.withParts(headerSecrets(header, "app", "20260601120000")...))
	})
}

func eachSample(b *testing.B, run func(body []byte)) {
	b.Helper()
	names, err := filepath.Glob("testdata/*.json")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(filepath.Base(name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				run(body)
			}
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	body, err := os.ReadFile("testdata/live_wechat_paid.json")
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	b.Cleanup(server.Close)
	client, err := New(Options{
		BaseURL: server.URL, Path: "/", Credentials: Credentials{AppID: "app", AppKey: "key"}, Timeout: time.Minute, Concurrency: 1,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	order := Request{MID: "898340149000005", TID: "88880001", MerOrderID: "319420220601102000ABCDEFGHIJ"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Query(b.Context(), order); err != nil {
			b.Fatal(err)
		}
	}
}
