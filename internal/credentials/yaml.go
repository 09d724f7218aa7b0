package credentials

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// entry is one entry of the file as it is written. The library keeps a number's text in a string
// field, so a mid keeps its zeros.
type entry struct {
	AppID      string   `yaml:"app_id"`
	AppKey     string   `yaml:"app_key"`
	AppKeyFile string   `yaml:"app_key_file"`
	MIDs       []string `yaml:"mids"`
}

const (
	wantList  = "must be a list of entries, at least one, each with app_id, app_key or app_key_file, and mids"
	wantField = "unknown key, a key given twice, or a value of the wrong kind: an entry has app_id, app_key or app_key_file, and a list of mids"
)

// parseEntries reads the list, which may be the value of the single key credentials. It returns the
// entries or what is wrong with the text.
func parseEntries(content []byte) ([]entry, []string) {
	var root, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	err := decoder.Decode(&root)
	if errors.Is(err, io.EOF) {
		return nil, []string{"is empty: it " + wantList}
	}
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			return nil, []string{fmt.Sprintf("line %d: a second document begins: keep all entries in one list", second.Line)}
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, syntaxProblems(err)
	}
	var list []entry
	var wrapped struct {
		Credentials []entry `yaml:"credentials"`
	}
	target := any(&list)
	switch root.Content[0].Kind {
	case yaml.MappingNode:
		target = &wrapped
	case yaml.ScalarNode:
		return nil, []string{wantList}
	}
	decoder = yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true) // a Node's own Decode would not
	if err := decoder.Decode(target); err != nil {
		return nil, syntaxProblems(err)
	}
	if list = append(list, wrapped.Credentials...); len(list) == 0 {
		return nil, []string{wantList}
	}
	return list, nil
}

// syntaxProblems keeps only the lines of the library's messages.
func syntaxProblems(err error) []string {
	typeErr, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		line, where := 0, ""
		if _, scanErr := fmt.Sscanf(err.Error(), "yaml: line %d:", &line); scanErr == nil {
			where = fmt.Sprintf(" near line %d", line)
		}
		return []string{"is not valid YAML" + where + ": check indentation, the space after each colon, and quotes"}
	}
	var problems []string
	for _, text := range typeErr.Errors {
		line := 0
		_, _ = fmt.Sscanf(text, "line %d:", &line) // each begins so
		problems = append(problems, fmt.Sprintf("line %d: %s", line, wantField))
	}
	return problems
}
