package packaging_test

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// manifest holds the fields of examples/kubernetes.yaml that must agree with each other or with the
// program.
type manifest struct {
	Kind       string
	Metadata   struct{ Name string }
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Args []string
					Env  []struct {
						Name      string
						ValueFrom struct {
							SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
						} `yaml:"valueFrom"`
					}
				}
				Volumes []struct {
					Secret struct {
						Items []struct{ Key string }
					}
				}
			}
		}
	}
}

// Variables, commands and keys of the Secret are those that exist.
func TestKubernetesExample(t *testing.T) {
	t.Parallel()
	file, err := os.Open("../examples/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var kinds []string
	keys := make(map[string]string)
	for decoder := yaml.NewDecoder(file); ; {
		var m manifest
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, m.Kind)
		maps.Copy(keys, m.StringData)
		pod := m.Spec.Template.Spec
		if m.Kind == "Deployment" && pod.Grace <= 30 {
			t.Errorf("the pod is killed after %d s, within the grace time of 30 s", pod.Grace)
		}
		for _, c := range pod.Containers {
			help := helpOf(t, c.Args)
			for _, env := range c.Env {
				if !strings.Contains(help, "($"+env.Name+")") {
					t.Errorf("reconciler %s knows no %s", c.Args, env.Name)
				}
				if key := env.ValueFrom.SecretKeyRef.Key; key != "" && keys[key] == "" {
					t.Errorf("the Secret has no key %s", key)
				}
			}
		}
		for _, v := range pod.Volumes {
			for _, item := range v.Secret.Items {
				if keys[item.Key] == "" {
					t.Errorf("the Secret has no key %s", item.Key)
				}
			}
		}
	}
	if want := []string{"Secret", "Job", "Deployment", "PodMonitor"}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
}

// helpOf is the help of a command, which a test of cmd/reconciler compares with the program.
func helpOf(t *testing.T, command []string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../cmd/reconciler/testdata/help", "reconciler-"+strings.Join(command, "-")+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
