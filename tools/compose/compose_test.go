// Package compose holds docker-compose.yml to the Compose specification, where no engine is at hand
// to do it.
package compose

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

func TestServices(t *testing.T) {
	t.Parallel()
	project := mustLoad(t, nil)
	want := []string{"console", "migrate", "orders", "postgres", "reconciler", "simulator"}
	if got := project.ServiceNames(); !slices.Equal(got, want) {
		t.Fatalf("services = %v, want %v", got, want)
	}
	for name, service := range project.Services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkImage(t, service)
			checkFiles(t, service)
			checkPorts(t, service)
			for dependency := range service.DependsOn {
				if _, err := project.GetService(dependency); err != nil {
					t.Errorf("depends on %s: %v", dependency, err)
				}
			}
		})
	}
}

func checkImage(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	if service.Image == "" {
		t.Error("has no image")
	}
	if service.Build != nil {
		mustExist(t, filepath.Join(service.Build.Context, service.Build.Dockerfile))
	}
}

func checkFiles(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	for _, volume := range service.Volumes {
		if volume.Type == types.VolumeTypeBind {
			mustExist(t, volume.Source)
		}
	}
}

func checkPorts(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	for _, port := range service.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("port %s is published to the network", port.Published)
		}
	}
}

func TestReconcilerIsConfined(t *testing.T) {
	t.Parallel()
	service := mustLoad(t, nil).Services["reconciler"]
	if !service.ReadOnly || !slices.Contains(service.CapDrop, "ALL") ||
		!slices.Contains(service.SecurityOpt, "no-new-privileges:true") || service.Restart != "unless-stopped" {
		t.Errorf("read_only %v, cap_drop %v, security_opt %v, restart %q",
			service.ReadOnly, service.CapDrop, service.SecurityOpt, service.Restart)
	}
}

func TestGatewayIsTheSimulatorUnlessNamed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env      types.Mapping
		want     string
		insecure bool // plain http to another machine is allowed: for the simulator alone
	}{
		"default": {nil, "http://simulator:8080", true},
		"empty":   {types.Mapping{"CHINAUMS_BASE_URL": ""}, "http://simulator:8080", true},
		"named":   {types.Mapping{"CHINAUMS_BASE_URL": "http://gateway.example"}, "http://gateway.example", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environment := mustLoad(t, test.env).Services["reconciler"].Environment
			got := environment["CHINAUMS_BASE_URL"]
			if got == nil || *got != test.want {
				t.Errorf("CHINAUMS_BASE_URL = %v, want %s", got, test.want)
			}
			if insecure := environment["RECONCILER_INSECURE_HTTP"]; (insecure != nil && *insecure == "true") != test.insecure {
				t.Errorf("RECONCILER_INSECURE_HTTP = %v, want %v", insecure, test.insecure)
			}
		})
	}
}

func TestTyposAreRefused(t *testing.T) {
	t.Parallel()
	text := readFile(t, "docker-compose.yml")
	tests := map[string]struct{ right, wrong, want string }{
		"a key":        {"healthcheck:", "healthchek:", "healthchek"},
		"a condition":  {"service_healthy", "service_healthi", "condition value must be"},
		"a dependency": {"simulator: { condition", "simulatr: { condition", "simulatr"},
		"a volume":     {"- orders:/var", "- order:/var", "order"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := strings.ReplaceAll(text, test.right, test.wrong)
			if wrong == text {
				t.Fatalf("%q is not in the file", test.right)
			}
			if _, err := load(t.Context(), wrong, nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("err = %v, want one that names %s", err, test.want)
			}
		})
	}
}

// The application and the gateway of the example speak of the same payments.
func TestExampleOrdersAreTheScenarios(t *testing.T) {
	t.Parallel()
	var scenario struct {
		Orders []struct {
			Mid        string `yaml:"mid"`
			Tid        string `yaml:"tid"`
			MerOrderID string `yaml:"mer_order_id"`
			Amount     int    `yaml:"amount"`
		} `yaml:"orders"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "examples/scenario.yaml")), &scenario); err != nil {
		t.Fatal(err)
	}
	sql := readFile(t, "examples/orders.sql")
	for _, order := range scenario.Orders {
		row := "('" + strings.Join([]string{order.Mid, order.Tid, order.MerOrderID}, "', '") + "', " + strconv.Itoa(order.Amount) + ")"
		if !strings.Contains(sql, row) {
			t.Errorf("examples/orders.sql lacks %s", row)
		}
	}
	if got, want := strings.Count(sql, "\n    ("), len(scenario.Orders); got != want {
		t.Errorf("examples/orders.sql has %d orders, the scenario %d", got, want)
	}
}

func load(ctx context.Context, text string, env types.Mapping) (*types.Project, error) {
	folder, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: "docker-compose.yml", Content: []byte(text)}},
		Environment: env,
	})
}

func mustLoad(t *testing.T, env types.Mapping) *types.Project {
	t.Helper()
	project, err := load(t.Context(), readFile(t, "docker-compose.yml"), env)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustExist(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
