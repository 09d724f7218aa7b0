package main

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"reconciler/internal/store"
)

// version is set by the linker.
var version = "dev"

type versionCommand struct {
	Output string `name:"output" default:"text" enum:"text,json" help:"Format on stdout: text or json."`
}

// buildInfo says what this program was built from.
type buildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"` // "" where the build does not know it
	Date    string `json:"date"`   // of the commit, RFC 3339
	Schema  int64  `json:"schema"` // the newest migration that the program knows
}

func readBuildInfo() buildInfo {
	info := buildInfo{Version: version, Schema: store.NewestMigration()}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.Commit = s.Value
		case "vcs.time":
			info.Date = s.Value
		}
	}
	return info
}

// Run prints the version.
func (c versionCommand) Run(p *process) error {
	info := readBuildInfo()
	if c.Output == "json" {
		return writeJSON(p.stdout, info)
	}
	_, err := fmt.Fprintf(p.stdout, "reconciler %s\ncommit %s\ndate %s\nschema %d\n",
		info.Version, cmp.Or(info.Commit, "unknown"), cmp.Or(info.Date, "unknown"), info.Schema)
	return err
}
