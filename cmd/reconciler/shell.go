package main

import (
	"fmt"

	mangokong "github.com/alecthomas/mango-kong"
	"github.com/muesli/roff"
)

// manSection is the section of the manual for commands.
const manSection = 1

type manCommand struct{}

// Run prints the man page, for a viewer such as man -l.
func (manCommand) Run(p *process) error {
	page := mangokong.NewManPage(manSection, p.model)
	_, err := fmt.Fprint(p.stdout, page.Build(roff.NewDocument()))
	return err
}
