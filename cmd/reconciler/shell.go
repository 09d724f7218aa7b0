package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	"github.com/muesli/roff"
)

// manSection is the section of the manual for commands.
const manSection = 1

// exitStatus is the section of the man page about exit codes.
const exitStatus = "0: done. 1: the run failed, or an order could not be asked about; no such order; a failed check of doctor. " +
	"2: bad usage, bad settings, an old schema, or missing rights. 3: status: something needs attention; migrate status: migrations are pending. " +
	"4: status: critical."

type manCommand struct{}

// Run prints the man page, for a viewer such as man -l.
func (manCommand) Run(p *process) error {
	showVariables(p.model.Node)
	page := mangokong.NewManPage(manSection, p.model).WithSection("Exit status", exitStatus)
	// The library puts the description into the head line of each page, too, where it has no room.
	description, _, _ := strings.Cut(strings.TrimSpace(p.model.Help), "\n")
	text := strings.Replace(page.Build(roff.NewDocument()), ` "`+description+`"`, ` "User Commands"`, 1)
	_, err := fmt.Fprint(p.stdout, text)
	return err
}

// showVariables names the variable behind the description of each flag, as the help does.
func showVariables(node *kong.Node) {
	for _, flag := range node.Flags {
		if len(flag.Envs) > 0 {
			flag.Help = strings.TrimSuffix(flag.Help, ".") + " ($" + flag.Envs[0] + ")."
		}
	}
	for _, child := range node.Children {
		showVariables(child)
	}
}
