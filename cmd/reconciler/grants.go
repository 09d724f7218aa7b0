package main

import (
	"context"
	"errors"
	"fmt"

	"reconciler/internal/store"
)

type grantsCommand struct {
	Database databaseSettings `embed:"" group:"Database:"`

	Role   string `name:"role" required:"" placeholder:"ROLE" help:"The role that gets the rights."`
	For    string `name:"for" default:"daemon" enum:"daemon,operator,viewer,application" help:"What the role does: daemon, operator, viewer or application."`
	Schema string `name:"schema" placeholder:"SCHEMA" help:"Schema of the tables. Without: that of the database."`
	Output string `name:"output" default:"text" enum:"text,json" help:"Format of the output on stdout: text or json."`
}

// Run prints the statements. It changes nothing.
func (c *grantsCommand) Run(p *process) error {
	if c.Role == "" {
		return usageError{errors.New("--role must not be empty")}
	}
	if c.Schema != "" {
		return c.printGrants(p, c.Schema)
	}
	return c.Database.withStore(p, func(ctx context.Context, s *store.Store) error {
		schema, err := s.Schema(ctx)
		switch {
		case err != nil:
			return err
		case schema == "":
			return store.ErrNoSchema
		}
		return c.printGrants(p, schema)
	})
}

func (c *grantsCommand) printGrants(p *process, schema string) error {
	grants := store.Grants(store.Audience(c.For), schema, c.Role)
	if c.Output == "json" {
		return writeJSON(p.stdout, map[string][]string{"grants": grants})
	}
	for _, statement := range grants {
		if _, err := fmt.Fprintln(p.stdout, statement); err != nil {
			return err
		}
	}
	return nil
}
