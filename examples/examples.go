// Package examples holds the files that show how things are used; the simulator
// plays the scenario when it is given no other.
package examples

import _ "embed"

// Scenario is scenario.yaml.
//
//go:embed scenario.yaml
var Scenario []byte
