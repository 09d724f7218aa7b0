package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"reconciler/internal/chinaums"
)

// credential is one entry of the credentials file. However it is printed, the key stays out.
type credential struct {
	chinaums.Credentials
	MIDs []string // the merchants whose orders it asks about; no other entry has them
}

// readCredentials reads the credentials file and the key files that it names. The error has a line for everything that
// is wrong, and never what may be a key: a slip of the pen makes anything of the file one.
func readCredentials(path string) ([]credential, error) {
	content, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("credentials-file %s %w", path, err)
	}
	root, err := onlyDocument(content)
	if err != nil {
		return nil, fmt.Errorf("credentials-file %s %w", path, err)
	}
	f := credentialsFile{path: path, apps: make(map[string]*yaml.Node), mids: make(map[string]*yaml.Node)}
	var credentials []credential
	for _, entry := range f.entries(root) {
		credentials = append(credentials, f.credential(entry))
	}
	if err := errors.Join(f.problems...); err != nil {
		return nil, err
	}
	return credentials, nil
}

// credentialsFile is what is known of the file while its entries are read.
type credentialsFile struct {
	path     string
	app      string // the app id of the entry that is read, for problems
	problems []error
	apps     map[string]*yaml.Node // where each was first
	mids     map[string]*yaml.Node // the entry that has it
}

func (f *credentialsFile) refuse(at *yaml.Node, format string, args ...any) {
	f.problems = append(f.problems, fmt.Errorf("credentials-file %s line %d%s: %w", f.path, at.Line, f.app, fmt.Errorf(format, args...)))
}

// entries are those of the list, which may be the value of the one key credentials.
func (f *credentialsFile) entries(root *yaml.Node) []*yaml.Node {
	list := root
	if root.Kind == yaml.MappingNode {
		list = f.fields(root, "credentials")["credentials"]
	}
	if list == nil {
		list, f.problems = root, nil // what its keys are does not matter then
	}
	if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		f.refuse(list, "must be a list of entries, at least one, each with app_id, app_key or app_key_file, and mids")
		return nil
	}
	return list.Content
}

// fields are the values of a mapping by their keys. A key is a problem unless it is known and given once.
func (f *credentialsFile) fields(node *yaml.Node, known ...string) map[string]*yaml.Node {
	fields := make(map[string]*yaml.Node)
	var strays []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if fields[key.Value] != nil || !slices.Contains(known, key.Value) {
			strays = append(strays, key)
			continue
		}
		fields[key.Value] = node.Content[i+1]
	}
	if id := fields["app_id"]; id != nil {
		f.app = shown(" (app %q)", id.Value, 64)
	}
	for _, key := range strays {
		if fields[key.Value] != nil {
			f.refuse(key, "%s is given twice: keep one", key.Value)
		} else {
			f.refuse(key, "unknown key: known here: %s", strings.Join(known, ", "))
		}
	}
	return fields
}

func (f *credentialsFile) credential(entry *yaml.Node) credential {
	f.app = ""
	if entry.Kind != yaml.MappingNode {
		f.refuse(entry, "must be an entry with app_id, app_key or app_key_file, and mids")
		return credential{}
	}
	fields := f.fields(entry, "app_id", "app_key", "app_key_file", "mids")
	return credential{
		Credentials: chinaums.Credentials{AppID: f.appID(entry, fields["app_id"]), AppKey: f.key(entry, fields["app_key"], fields["app_key_file"])},
		MIDs:        f.merchants(entry, fields["mids"]),
	}
}

func (f *credentialsFile) appID(entry, node *yaml.Node) string {
	id, isText := text(node)
	first := f.apps[id]
	switch {
	case isText && id == "":
		f.refuse(cmp.Or(node, entry), "app_id is missing: set it to what ChinaUMS gave")
	case !isText || !isToken(id, `"\,`):
		f.refuse(node, "app_id must be a text without spaces, quotes, commas and control characters")
	case first != nil:
		f.refuse(node, "app_id is given twice, first in line %d: put all its mids into one entry", first.Line)
	default:
		f.apps[id] = node
	}
	return id
}

func (f *credentialsFile) key(entry, inline, file *yaml.Node) string {
	node := cmp.Or(inline, file)
	key, isText := text(node)
	var err error
	if node == file && isText && key != "" {
		key, err = f.keyFile(key)
	}
	switch {
	case inline != nil && file != nil:
		f.refuse(entry, "app_key and app_key_file are both given: keep one")
	case node == nil:
		f.refuse(entry, "no app key: set app_key or app_key_file")
	case err != nil:
		f.refuse(node, "app_key_file %w", err)
	case isText && key == "":
		f.refuse(node, "the app key is empty: set it, in quotes")
	case !isText || !isToken(key, ""):
		f.refuse(node, "the app key must be one text without spaces and control characters: check the line, or quote it")
	}
	return key
}

// keyFile reads a key file. What is not there is not named: it may well be a key where a path belongs.
func (f *credentialsFile) keyFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(f.path), path)
	}
	content, err := readPrivate(path)
	key := strings.TrimSpace(string(content))
	if err == nil && key == "" {
		err = errors.New("is empty: put the app's key into it")
	}
	if _, statErr := os.Stat(path); err != nil && statErr == nil {
		err = fmt.Errorf("%s %w", path, err)
	}
	return key, err
}

func (f *credentialsFile) merchants(entry, node *yaml.Node) []string {
	if node == nil || isNull(node) || (node.Kind == yaml.SequenceNode && len(node.Content) == 0) {
		f.refuse(cmp.Or(node, entry), "no mids: list the merchants that the app asks for")
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		f.refuse(node, "mids must be a list, such as [\"898201612345678\"]")
		return nil
	}
	var mids []string
	for _, item := range node.Content {
		mid, isText := text(item)
		length, owner := utf8.RuneCountInString(mid), f.mids[mid]
		switch {
		case !isText || (mid != "" && !isToken(mid, "")):
			f.refuse(item, "a mid must be a text without spaces and control characters")
		case length < 8 || length > 32:
			f.refuse(item, "a mid must have 8 to 32 characters, not %d", length)
		case owner == entry:
			f.refuse(item, "mid%s is listed twice: keep one", shown(" %s", mid, 15))
		case owner != nil:
			f.refuse(item, "mid%s is also in the entry of line %d: leave it to one app, whose key its orders are asked with", shown(" %s", mid, 15), owner.Line)
		default:
			f.mids[mid] = entry
		}
		mids = append(mids, mid)
	}
	return mids
}
