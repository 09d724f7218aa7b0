package chinaums_test

import (
	"strings"
	"testing"

	"reconciler/internal/chinaums"
)

func TestNewAcceptsTheGateways(t *testing.T) {
	t.Parallel()
	for _, base := range []string{
		"https://api-mop.chinaums.com", "https://test-api-open.chinaums.com/", "http://127.0.0.1:8080", "http://[::1]:8080/prefix",
	} {
		newClient(t, testOptions(base))
	}
}

func TestNewKnowsTheAuths(t *testing.T) {
	t.Parallel()
	for _, auth := range []chinaums.Auth{"", chinaums.AuthBodySig, chinaums.AuthAccessToken} {
		o := testOptions("https://host")
		o.Auth = auth
		newClient(t, o)
	}
}

func TestNewNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := chinaums.New(chinaums.Options{})
	if err == nil {
		t.Fatal("empty options accepted")
	}
	for _, name := range []string{"BaseURL", "Path", "AppID", "AppKey", "Timeout", "Concurrency"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*chinaums.Options)
		want   string
	}{
		"no scheme":       {func(o *chinaums.Options) { o.BaseURL = "api-mop.chinaums.com" }, "BaseURL"},
		"other scheme":    {func(o *chinaums.Options) { o.BaseURL = "ftp://host" }, "BaseURL"},
		"no host":         {func(o *chinaums.Options) { o.BaseURL = "https://:443" }, "BaseURL"},
		"user":            {func(o *chinaums.Options) { o.BaseURL = "https://user:password@host" }, "BaseURL"},
		"query":           {func(o *chinaums.Options) { o.BaseURL = "https://host?a=b" }, "BaseURL"},
		"empty query":     {func(o *chinaums.Options) { o.BaseURL = "https://host?" }, "BaseURL"},
		"fragment":        {func(o *chinaums.Options) { o.BaseURL = "https://host/#" }, "BaseURL"},
		"not a URL":       {func(o *chinaums.Options) { o.BaseURL = "https://ho st" }, "BaseURL"},
		"relative path":   {func(o *chinaums.Options) { o.Path = "v1/query" }, "Path"},
		"path with query": {func(o *chinaums.Options) { o.Path = "/v1?x=y" }, "Path"},
		"newline in key":  {func(o *chinaums.Options) { o.Credentials.AppKey += "\n" }, "AppKey"},
		"quote in id":     {func(o *chinaums.Options) { o.Credentials.AppID += `"` }, "AppID"},
		"negative time":   {func(o *chinaums.Options) { o.Timeout = -1 }, "Timeout"},
		"other auth":      {func(o *chinaums.Options) { o.Auth = "token" }, "Auth must be body-sig or access-token"},
		"no concurrency":  {func(o *chinaums.Options) { o.Concurrency = 0 }, "Concurrency"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := testOptions("https://host")
			tt.change(&o)
			_, err := chinaums.New(o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "\n") != 0 {
				t.Fatalf("got %v, want one problem with %s", err, tt.want)
			}
			if text := err.Error(); strings.Contains(text, official().AppKey) || strings.Contains(text, "password") {
				t.Errorf("shows a secret: %s", text)
			}
		})
	}
}
