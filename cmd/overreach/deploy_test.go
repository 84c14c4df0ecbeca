package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/overreach/overreach/schema/registry"
)

func TestTheConfigurationOfKubernetesIsOne(t *testing.T) {
	text, err := os.ReadFile("../../deploy/kubernetes/overreach.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var configMap struct {
		Kind string
		Data map[string]string
	}
	first, _, _ := bytes.Cut(text, []byte("\n---\n"))
	if err := yaml.Unmarshal(first, &configMap); err != nil || configMap.Kind != "ConfigMap" {
		t.Fatalf("the first manifest is a %q, %v", configMap.Kind, err)
	}
	dir := t.TempDir()
	for name, data := range configMap.Data {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := LoadConfig(filepath.Join(dir, "config.yaml"), func(string) (string, bool) { return "", false }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(c.Listen, ":") || c.Registry == "" {
		t.Errorf("probes must reach %q, and the registry is %q", c.Listen, c.Registry)
	}
	if _, err := registry.Parse("registry.yaml", []byte(configMap.Data["registry.yaml"])); err != nil {
		t.Error(err)
	}
}

// TestTheUnitSetsWhatCanBeSet holds the variables of the systemd unit against the settings.
func TestTheUnitSetsWhatCanBeSet(t *testing.T) {
	text, err := os.ReadFile("../../deploy/systemd/overreach.service")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range (&Config{}).settings() {
		known[envName(s.path)] = true
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		setting, ok := strings.CutPrefix(line, "Environment=OVERREACH_")
		if !ok {
			continue
		}
		found++
		if name, _, _ := strings.Cut("OVERREACH_"+setting, "="); !known[name] {
			t.Errorf("no setting reads %s", name)
		}
	}
	if found != 2 {
		t.Errorf("it sets %d variables, expected two secrets", found)
	}
}
