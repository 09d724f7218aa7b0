package main

import (
	"os"
	"os/user"
	"slices"
	"testing"
	"time"
)

func TestEditDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"same", "same", 0},
		{"kitten", "sitting", 3},
		{"RECONCILER_LISTNE", "RECONCILER_LISTEN", 2},
		{"RECONCILER_PLANMAX", "RECONCILER_PLAN_MAX", 1},
	} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	known := []string{"CHINAUMS_APP_ID", "RECONCILER_LISTEN", "RECONCILER_RATE"}
	got := unknownVariables([]string{
		"RECONCILER_LISTNE=x", "CHINAUMS_APPID=y", "RECONCILER_RATE=5", "PATH=/bin", "DATABASE_URLS=z", "RECONCILER_", "MY_RECONCILER_RATE=1",
	}, known)
	want := []unknownVariable{
		{"RECONCILER_LISTNE", "RECONCILER_LISTEN"}, {"CHINAUMS_APPID", "CHINAUMS_APP_ID"}, {"RECONCILER_", "RECONCILER_RATE"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		setting string
		env     map[string]string
		want    string // "": refused
	}{
		{"", nil, "en"},
		{"", map[string]string{"LANG": "zh_CN.UTF-8"}, "zh"},
		{"", map[string]string{"LANG": "zh"}, "zh"},
		{"", map[string]string{"LANG": "zh.GBK"}, "zh"},
		{"", map[string]string{"LANG": "zh-Hans"}, "zh"},
		{"", map[string]string{"LANG": "zhx_CN"}, "en"},
		{"", map[string]string{"LANG": "C.UTF-8"}, "en"},
		{"", map[string]string{"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"},
		{"", map[string]string{"LANG": "en_US.UTF-8", "LC_MESSAGES": "", "LC_ALL": "zh_TW"}, "zh"},
		{"en", map[string]string{"LC_ALL": "zh_CN.UTF-8"}, "en"},
		{"zh", nil, "zh"},
		{"de", nil, ""},
	} {
		got, err := peopleSettings{Lang: tt.setting}.language(func(name string) string { return tt.env[name] })
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("setting %q with %v: %q, %v, want %q", tt.setting, tt.env, got, err, tt.want)
		}
	}
}

func TestLocationAndActor(t *testing.T) {
	t.Parallel()
	for zone, good := range map[string]bool{"Asia/Shanghai": true, "UTC": true, "Europe/Berlin": true, "": false, "Local": false, "Nowhere/Else": false, "../etc/passwd": false} {
		location, err := peopleSettings{TZ: zone}.timeZone()
		if (err == nil) != good || (good && location.String() != zone) {
			t.Errorf("zone %q: %v, %v", zone, location, err)
		}
	}
	if location, _ := (peopleSettings{TZ: "Asia/Shanghai"}).timeZone(); time.Unix(0, 0).In(location).Hour() != 8 {
		t.Error("Shanghai is not eight hours ahead")
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	person := account.Username
	if person == "root" {
		person = "li"
	}
	for _, tt := range []struct{ setting, sudo, want string }{
		{"zhang", "li", "zhang"},
		{"", "", account.Username + "@" + host},
		{"", "li", person + "@" + host}, // behind sudo
	} {
		got := peopleSettings{Actor: tt.setting}.actorName(func(name string) string { return map[string]string{"SUDO_USER": tt.sudo}[name] })
		if got != tt.want {
			t.Errorf("--actor %q, SUDO_USER %q: %q acts, want %q", tt.setting, tt.sudo, got, tt.want)
		}
	}
}
