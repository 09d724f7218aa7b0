package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"

	"reconciler/internal/credentials"
)

// Role says what a person may do.
type Role string

// The roles.
const (
	RoleViewer   Role = "viewer"   // reads
	RoleOperator Role = "operator" // reads and acts
)

// user is one entry of the users file.
type user struct {
	Name string `yaml:"name"`
	Hash string `yaml:"password_bcrypt"`
	Role Role   `yaml:"role"`
}

// Users are the people who may log in. It is safe for use by many goroutines.
type Users struct {
	mu     sync.Mutex
	byName map[string]user
	slots  chan struct{} // bounds the passwords that are checked at once: each takes a tenth of a second of a processor
}

const (
	maxName     = 100
	maxPassword = 72 // bytes, bcrypt's own limit
	minCost     = 10
	maxCost     = 16 // some seconds of a processor; 31 takes a day, during which nobody else logs in
	hashCost    = 12
	// nobodysHash is compared with where a name is unknown, so that it takes as long.
	nobodysHash = "$2a$12$w88ndqTGgQFL4PV1UY6EJ.vxDwYm4E3BhuhcwBniR3h8JwxyspGNe"
)

// ReadUsers reads the users file, a private file. The warning continues a sentence that begins with
// the file's name, as that of [credentials.ReadPrivateFile] does. No error quotes the file.
func ReadUsers(path string) (*Users, string, error) {
	u := &Users{slots: make(chan struct{}, 2)}
	warning, err := u.Reload(path)
	if err != nil {
		return nil, "", err
	}
	return u, warning, nil
}

// Reload reads the file again. An error changes nothing. People who are gone, whose password has
// changed or whose role has changed are so at once.
func (u *Users) Reload(path string) (warning string, err error) {
	content, warning, err := credentials.ReadPrivateFile(path)
	if err != nil {
		return "", err
	}
	byName, err := parseUsers(content)
	if err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.byName = byName
	return warning, nil
}

func parseUsers(content []byte) (map[string]user, error) {
	var file struct {
		Users []user `yaml:"users"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New("is not a list under users, each with name, password_bcrypt and role") // the library quotes what it read
	}
	if len(file.Users) == 0 {
		return nil, errors.New("names nobody: it must have a list under users, each with name, password_bcrypt and role")
	}
	byName := make(map[string]user, len(file.Users))
	var problems []string
	for i, entry := range file.Users {
		wrong := entry.findProblems()
		if _, twice := byName[entry.Name]; twice {
			wrong = append(wrong, "another entry has the same name")
		}
		byName[entry.Name] = entry
		if len(wrong) > 0 {
			problems = append(problems, fmt.Sprintf("entry %d: %s", i+1, strings.Join(wrong, ", ")))
		}
	}
	if len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	return byName, nil
}

func (e user) findProblems() (problems []string) {
	if e.Name == "" || len(e.Name) > maxName || e.Name == "breaker" {
		problems = append(problems, "name must have 1 to 100 bytes, and not be breaker")
	}
	switch cost, err := bcrypt.Cost([]byte(e.Hash)); {
	case err != nil:
		problems = append(problems, "password_bcrypt must be what reconciler console hash-password prints")
	case cost < minCost || cost > maxCost:
		problems = append(problems, fmt.Sprintf("password_bcrypt has the cost %d: from %d to %d", cost, minCost, maxCost))
	}
	if e.Role != RoleViewer && e.Role != RoleOperator {
		problems = append(problems, "role must be viewer or operator")
	}
	return problems
}

// findUser returns the present entry of a name.
func (u *Users) findUser(name string) (user, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	entry, found := u.byName[name]
	return entry, found
}

// checkPassword returns the entry whose password it is.
func (u *Users) checkPassword(name, password string) (user, bool) {
	u.slots <- struct{}{}
	defer func() { <-u.slots }()
	entry, found := u.findUser(name)
	hash := []byte(entry.Hash)
	if !found {
		hash = []byte(nobodysHash)
	}
	right := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	return entry, found && right
}

// HashPassword is the hash of a password for the users file.
func HashPassword(password string) (string, error) {
	switch {
	case len(password) < 8:
		return "", errors.New("the password must have at least 8 bytes")
	case len(password) > maxPassword:
		return "", fmt.Errorf("the password has %d bytes: bcrypt takes at most %d", len(password), maxPassword)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), hashCost)
	return string(hash), err
}
