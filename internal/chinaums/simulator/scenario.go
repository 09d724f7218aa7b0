package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v3"

	"reconciler/internal/chinaums"
)

// Scenario is a whole gateway as a scenario file describes it. Between LoadScenario and Simulator
// everything may be changed.
type Scenario struct {
	Options     Options
	NotEntitled []string // app ids
	Merchants   []Merchant
	Outage      []Step
	Orders      []Order
}

// Simulator returns the gateway of the scenario.
func (sc Scenario) Simulator() (*Simulator, error) {
	s, err := New(sc.Options)
	if err != nil {
		return nil, err
	}
	for _, appID := range sc.NotEntitled {
		s.SetEntitled(appID, false)
	}
	errs := []error{s.SetOutage(sc.Outage...)}
	for _, m := range sc.Merchants {
		errs = append(errs, s.SetMerchant(m))
	}
	for _, o := range sc.Orders {
		errs = append(errs, s.AddOrder(o))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// scenarioFile is the file's top level.
type scenarioFile struct {
	Apps []struct {
		ID          string `yaml:"id"`
		Key         string `yaml:"key"`
		NotEntitled bool   `yaml:"not_entitled"`
	} `yaml:"apps"`
	Profile              Profile       `yaml:"profile"`
	Seed                 uint64        `yaml:"seed"`
	Paths                []string      `yaml:"paths"`
	Keep                 int           `yaml:"keep"`
	ClockWindow          time.Duration `yaml:"clock_window"`
	AuthWindow           time.Duration `yaml:"auth_window"`
	NonceReplay          bool          `yaml:"nonce_replay"`
	TokenLife            time.Duration `yaml:"token_life"`
	StrictHeader         bool          `yaml:"strict_header"`
	LenientTimestamp     bool          `yaml:"lenient_timestamp"`
	BadRequestAsBusiness bool          `yaml:"bad_request_as_business"`
	Merchants            []Merchant    `yaml:"merchants"`
	Outage               []Step        `yaml:"outage"`
	Unscripted           []Step        `yaml:"unscripted"`
	Orders               []Order       `yaml:"orders"`
}

func (f scenarioFile) toScenario() Scenario {
	sc := Scenario{
		Options: Options{
			Profile:              f.Profile,
			Seed:                 f.Seed,
			Paths:                f.Paths,
			Keep:                 f.Keep,
			ClockWindow:          f.ClockWindow,
			AuthWindow:           f.AuthWindow,
			NonceReplay:          f.NonceReplay,
			TokenLife:            f.TokenLife,
			StrictHeader:         f.StrictHeader,
			LenientTimestamp:     f.LenientTimestamp,
			BadRequestAsBusiness: f.BadRequestAsBusiness,
			Unscripted:           f.Unscripted,
		},
		Merchants: f.Merchants,
		Outage:    f.Outage,
		Orders:    f.Orders,
	}
	for _, app := range f.Apps {
		sc.Options.Credentials = append(sc.Options.Credentials, chinaums.Credentials{AppID: app.ID, AppKey: app.Key})
		if app.NotEntitled {
			sc.NotEntitled = append(sc.NotEntitled, app.ID)
		}
	}
	return sc
}

// LoadScenario reads a scenario file, YAML. It refuses keys that it does not know, and names every
// problem at once.
func LoadScenario(r io.Reader) (Scenario, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	file, found := decodeFile(text)
	sc := file.toScenario()
	found = append(found, sc.findProblems(itemOf(&root, 0))...)
	if err := errors.Join(found...); err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	return sc, nil
}

// decodeFile reads as much as can be read, and returns everything that could not.
func decodeFile(text []byte) (scenarioFile, problems) {
	var file scenarioFile
	var found problems
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	err := decoder.Decode(&file)
	if errors.Is(err, io.EOF) {
		return file, problems{errors.New("the file is empty")}
	}
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		for _, message := range wrong.Errors {
			found = append(found, errors.New(message))
		}
	} else if err != nil {
		found = append(found, err)
	}
	found.refuseIf(!errors.Is(decoder.Decode(new(yaml.Node)), io.EOF), "the file has more than one document")
	return file, found
}

// findProblems are those that only the meaning shows, each with the line of the order, step or
// merchant that has it.
func (sc Scenario) findProblems(document *yaml.Node) problems {
	var found problems
	add := func(where *yaml.Node, what string, errs problems) {
		for _, err := range errs {
			found = append(found, fmt.Errorf("%s%s%w", lineOf(where, err), what, err))
		}
	}
	add(&yaml.Node{}, "", sc.Options.withDefaults().findProblems())
	add(document, "", checkSteps("unscripted", sc.Options.Unscripted, checkOrderStep))
	add(document, "", checkSteps("outage", sc.Outage, checkOutageStep))
	prefixes := map[string]string{}
	for i, m := range sc.Merchants {
		prefixes[m.MID] = m.Prefix
		add(itemOf(memberOf(document, "merchants"), i), fmt.Sprintf("merchant %q: ", m.MID), m.findProblems())
	}
	seen := map[orderKey]bool{}
	for i, o := range sc.Orders {
		key := orderKey{o.MID, o.MerOrderID}
		errs := o.withDefaults(time.Now()).findProblems(prefixes[o.MID])
		errs.refuseIf(seen[key], "the order is there twice")
		seen[key] = true
		add(itemOf(memberOf(document, "orders"), i), fmt.Sprintf("order %q: ", o.MerOrderID), errs)
	}
	return found
}

// lineOf names the line of what an error is about: a step of that part of the file, else the part
// itself.
func lineOf(part *yaml.Node, err error) string {
	if inStep, ok := errors.AsType[*stepError](err); ok {
		part = itemOf(memberOf(part, inStep.list), inStep.index)
	}
	if part.Line == 0 {
		return ""
	}
	return fmt.Sprintf("line %d: ", part.Line)
}

// memberOf returns a mapping's value, or an empty node.
func memberOf(n *yaml.Node, name string) *yaml.Node {
	n = resolveAlias(n)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return &yaml.Node{}
}

// itemOf returns a list's item, or an empty node.
func itemOf(n *yaml.Node, index int) *yaml.Node {
	if n = resolveAlias(n); index < len(n.Content) {
		return n.Content[index]
	}
	return &yaml.Node{}
}

func resolveAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
