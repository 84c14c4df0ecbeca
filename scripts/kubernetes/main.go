// Command kubernetes checks manifests: each is read as strictly as the API server reads
// it, into Kubernetes' own types, from which its schemas are made; and what refers to one
// another, and what keeps a pod from harm, is looked at.
package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "kubernetes: %v\n", err)
		os.Exit(1)
	}
}

// manifests are what the files hold.
type manifests struct {
	configMaps  map[string]*core.ConfigMap
	deployments []*apps.Deployment
	accounts    map[string]bool
	selectors   map[string]*meta.LabelSelector // of what selects pods, by kind
	ports       []intstr.IntOrString           // that a NetworkPolicy lets in
	wrong       []error
}

func check(files []string) error {
	m := manifests{configMaps: map[string]*core.ConfigMap{}, accounts: map[string]bool{}, selectors: map[string]*meta.LabelSelector{}}
	documents := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for i, document := range regexp.MustCompile(`(?m)^---$`).Split(string(text), -1) {
			documents++
			if err := m.read([]byte(document)); err != nil {
				m.wrong = append(m.wrong, fmt.Errorf("%s, document %d: %w", filepath.Base(file), i+1, err))
			}
		}
	}
	if len(m.deployments) == 0 {
		m.saywrong("no Deployment in %v", files)
	}
	for _, d := range m.deployments {
		m.deployment(d)
	}
	if err := errors.Join(m.wrong...); err != nil {
		return err
	}
	fmt.Printf("kubernetes: %d manifests are right\n", documents)
	return nil
}

func (m *manifests) saywrong(format string, args ...any) {
	m.wrong = append(m.wrong, fmt.Errorf(format, args...))
}

// read reads one manifest. Unknown and repeated fields, and values of another type, are errors.
func (m *manifests) read(document []byte) error {
	var head meta.TypeMeta
	if err := yaml.Unmarshal(document, &head); err != nil {
		return err
	}
	into := func(v any) error { return yaml.UnmarshalStrict(document, v) }
	switch head.APIVersion + " " + head.Kind {
	case "v1 ConfigMap":
		var v core.ConfigMap
		defer func() { m.configMaps[v.Name] = &v }()
		return into(&v)
	case "v1 ServiceAccount":
		var v core.ServiceAccount
		defer func() { m.accounts[v.Name] = true }()
		return into(&v)
	case "apps/v1 Deployment":
		var v apps.Deployment
		m.deployments = append(m.deployments, &v)
		return into(&v)
	case "policy/v1 PodDisruptionBudget":
		var v policy.PodDisruptionBudget
		defer func() { m.selectors[head.Kind] = v.Spec.Selector }()
		return into(&v)
	case "networking.k8s.io/v1 NetworkPolicy":
		var v networking.NetworkPolicy
		defer func() {
			m.selectors[head.Kind] = &v.Spec.PodSelector
			for _, rule := range v.Spec.Ingress {
				for _, port := range rule.Ports {
					m.ports = append(m.ports, *port.Port)
				}
			}
		}()
		return into(&v)
	}
	return fmt.Errorf("%s %s is no kind that this program knows: teach it", head.APIVersion, head.Kind)
}

// deployment says what is wrong with one.
func (m *manifests) deployment(d *apps.Deployment) {
	pod := d.Spec.Template.Spec
	m.selectors["Deployment"] = d.Spec.Selector
	for _, kind := range slices.Sorted(maps.Keys(m.selectors)) {
		selector, err := meta.LabelSelectorAsSelector(m.selectors[kind])
		if err != nil || selector.Empty() || !selector.Matches(labels.Set(d.Spec.Template.Labels)) {
			m.saywrong("%s does not select the pods of %s: %v", kind, d.Name, err)
		}
	}
	if !m.accounts[pod.ServiceAccountName] {
		m.saywrong("there is no ServiceAccount %q", pod.ServiceAccountName)
	}
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		m.saywrong("the pods of %s may be root, or make any call of the kernel", d.Name)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		m.saywrong("the pods of %s hold a token for Kubernetes", d.Name)
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		switch {
		case v.ConfigMap != nil && m.configMaps[v.ConfigMap.Name] == nil:
			m.saywrong("there is no ConfigMap %q", v.ConfigMap.Name)
		case v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode&0o7 != 0):
			m.saywrong("the secrets of %s can be read by all in the pod", v.Name)
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		m.container(&c, volumes)
	}
	ports := map[string]int32{}
	for _, c := range pod.Containers {
		for _, p := range c.Ports {
			ports[p.Name] = p.ContainerPort
		}
		for what, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
			if probe == nil || probe.HTTPGet == nil || ports[probe.HTTPGet.Port.StrVal] == 0 {
				m.saywrong("%s has no %s probe of a port that it names", c.Name, what)
			}
		}
	}
	for _, p := range m.ports {
		if ports[p.StrVal] == 0 {
			m.saywrong("the NetworkPolicy lets in port %q, which no container has", p.String())
		}
	}
}

func (m *manifests) container(c *core.Container, volumes map[string]bool) {
	s := c.SecurityContext
	if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") || len(s.Capabilities.Add) > 0 {
		m.saywrong("%s can write to its root, or gain rights", c.Name)
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		m.saywrong("%s asks for no CPU or memory, or has no limit of memory", c.Name)
	}
	if c.Image == "" || len(c.Args) == 0 {
		m.saywrong("%s has no image or no arguments", c.Name)
	}
	for _, v := range c.VolumeMounts {
		if !volumes[v.Name] || !v.ReadOnly {
			m.saywrong("%s mounts %s, which is no volume, or can be written", c.Name, v.Name)
		}
	}
	for _, e := range c.Env {
		if e.Value != "" && regexp.MustCompile(`(?i)password|secret|key`).MatchString(e.Name) {
			m.saywrong("%s has the secret %s in plain text", c.Name, e.Name)
		}
	}
}
