package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// onlyDocument returns the root of the file's one document. Of the parser's errors only the line is told: they quote.
func onlyDocument(content []byte) (*yaml.Node, error) {
	var document, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	err := decoder.Decode(&document)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("is empty: list an app_id with its app_key_file and its mids")
	case err == nil:
		if err = decoder.Decode(&second); errors.Is(err, io.EOF) {
			return document.Content[0], nil
		} else if err == nil {
			return nil, fmt.Errorf("line %d: a second document begins: keep all entries in one list", second.Line)
		}
	}
	line, where := 0, ""
	if _, scanErr := fmt.Sscanf(err.Error(), "yaml: line %d:", &line); scanErr == nil {
		where = fmt.Sprintf(" near line %d", line)
	}
	return nil, fmt.Errorf("is not valid YAML%s: check indentation, the space after each colon, and quotes", where)
}

// text is a scalar as it is written, so that a mid keeps its zeros; "" stands for nothing given.
func text(node *yaml.Node) (string, bool) {
	if node == nil || isNull(node) {
		return "", true
	}
	return node.Value, node.Kind == yaml.ScalarNode
}

func isNull(node *yaml.Node) bool { return node.ShortTag() == "!!null" }

// isToken reports whether s has a form that a header can carry, and nothing that cannot be seen.
func isToken(s, forbidden string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r) || strings.ContainsRune(forbidden, r)
	})
}

// shown formats s if it has the plain form of an id, of limit characters at most. Anything else may be a key gone astray.
func shown(format, s string, limit int) string {
	const plain = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-."
	if s == "" || len(s) > limit || strings.Trim(s, plain) != "" {
		return ""
	}
	return fmt.Sprintf(format, s)
}
