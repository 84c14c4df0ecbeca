// Package compose holds what docker-compose.yml mounts and what scripts/compose/init.sh
// copies. Its tests hold the file against the Compose specification and against what
// the containers will read, as far as that can be done without starting them.
package compose

import (
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"github.com/overreach/overreach/store"
)

// root is the checkout, from this folder.
const root = "../.."

// project loads docker-compose.yml as docker compose itself does: interpolated,
// merged, validated against the specification's JSON schema, and with every volume,
// secret and service that is named in it known.
func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, read(t, root+"/docker-compose.yml"))
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return p
}

func load(t *testing.T, text string) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: "docker-compose.yml", Content: []byte(text)}},
		Environment: types.Mapping{},
	})
}

func TestWhatTheSpecificationDoesNotKnowIsRefused(t *testing.T) {
	text := read(t, root+"/docker-compose.yml")
	for from, to := range map[string]string{
		"start_period: 20s":            "start_periode: 20s",
		"restart: on-failure":          "restart: [on-failure]",
		"condition: service_healthy":   "condition: service_well",
		"- clickhouse:/var/lib":        "- clickhose:/var/lib",
		"depends_on: {clickhouse:":     "depends_on: {clickhose:",
		"secrets: [grafana_admin, cli": "secrets: [grafana_password, cli",
	} {
		broken := strings.Replace(text, from, to, 1)
		if broken == text {
			t.Fatalf("docker-compose.yml has no %q", from)
		}
		if _, err := load(t, broken); err == nil {
			t.Errorf("with %q for %q it is taken all the same", to, from)
		}
	}
}

// own runs init.sh into a folder of the test's.
func own(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "own")
	output(t, "sh", "init.sh", dir)
	return dir
}

// output runs a command, which must end well, and returns what it printed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// once says whether a service does its work and ends: others wait for that.
func once(p *types.Project, name string) bool {
	for _, s := range p.Services {
		if s.DependsOn[name].Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return false
}

func TestEveryServiceIsWatchedRestartedAndKeptSmall(t *testing.T) {
	p := project(t)
	if want := []string{"alertmanager", "clickhouse", "grafana", "kafka", "migrate", "overreach", "topics"}; !slices.Equal(slices.Sorted(maps.Keys(p.Services)), want) {
		t.Fatalf("services are %q, expected %q", p.ServiceNames(), want)
	}
	for name, s := range p.Services {
		switch {
		case once(p, name):
			if s.Restart != "on-failure" {
				t.Errorf("%s: restart is %q, though it ends", name, s.Restart)
			}
		case s.Restart != "unless-stopped":
			t.Errorf("%s: restart is %q", name, s.Restart)
		case s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Interval == nil || s.HealthCheck.Timeout == nil || s.HealthCheck.Retries == nil:
			t.Errorf("%s: has no whole health check", name)
		}
		for on, d := range s.DependsOn {
			want := types.ServiceConditionHealthy
			if once(p, on) {
				want = types.ServiceConditionCompletedSuccessfully
			}
			if d.Condition != want {
				t.Errorf("%s waits until %s is %s, expected %s", name, on, d.Condition, want)
			}
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.Privileged || s.NetworkMode != "" {
			t.Errorf("%s: may do more than it needs: %v %v %v", name, s.CapDrop, s.CapAdd, s.SecurityOpt)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("%s: its log has no bound", name)
		}
	}
}

func TestImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z./-]+:v?\d+(\.\d+)+[a-z0-9-]*$`)
	for name, s := range project(t).Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: the image %q has no tag of one version", name, s.Image)
		}
	}
	text := read(t, root+"/Dockerfile")
	for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(text, -1) {
		if m[1] != "scratch" && !pinned.MatchString(m[1]) {
			t.Errorf("Dockerfile: the image %q has no tag of one version", m[1])
		}
	}
}

func TestPortsAreOfThisMachineAlone(t *testing.T) {
	for name, s := range project(t).Services {
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published on %q", name, p.Published, p.HostIP)
			}
		}
	}
}

func TestMountedFilesAreThereAndReadOnly(t *testing.T) {
	p, made := project(t), own(t)
	// exists looks for what a fresh checkout has after init.sh.
	exists := func(who, file string) {
		t.Helper()
		relative, err := filepath.Rel(p.WorkingDir, file)
		if err != nil || strings.HasPrefix(relative, "..") {
			t.Errorf("%s: %s lies outside of the checkout", who, file)
		}
		if rest, is := strings.CutPrefix(relative, "own/"); is {
			file = filepath.Join(made, rest)
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			exists(name, v.Source)
			if !v.ReadOnly {
				t.Errorf("%s can write %s", name, v.Source)
			}
		}
	}
	for name, s := range p.Secrets {
		exists("secret "+name, s.File)
	}
}

func TestSecretsComeFromFilesAlone(t *testing.T) {
	p := project(t)
	telling := regexp.MustCompile(`(?i)passw|secret|token|credential|_key`)
	used := map[string]bool{}
	for name, s := range p.Services {
		for variable, value := range s.Environment {
			if telling.MatchString(variable) && !strings.HasPrefix(*value, "/run/secrets/") {
				t.Errorf("%s: %s is in the file itself", name, variable)
			}
		}
		for _, secret := range s.Secrets {
			used[secret.Source] = true
		}
	}
	for name, s := range p.Secrets {
		if !used[name] {
			t.Errorf("nobody reads the secret %s", name)
		}
		if s.File != filepath.Join(p.WorkingDir, "own", "secrets", name) {
			t.Errorf("secret %s lies in %s, expected own/secrets/%s", name, s.File, name)
		}
	}
}

func TestInitMakesSecretsOnceAndTouchesNothingThatIsThere(t *testing.T) {
	dir := own(t)
	files := func() map[string]string {
		all := map[string]string{}
		for name := range project(t).Secrets {
			all[name] = read(t, filepath.Join(dir, "secrets", name))
		}
		all["registry"] = read(t, filepath.Join(dir, "overreach", "registry.yaml"))
		return all
	}
	first := files()
	seen := map[string]bool{}
	for name, text := range first {
		if name != "registry" && !regexp.MustCompile(`^[0-9a-f]{32}\n$`).MatchString(text) {
			t.Errorf("the secret %s is %d bytes, expected 32 hexadecimal digits", name, len(text))
		}
		if seen[text] {
			t.Errorf("the secret %s is another's too", name)
		}
		seen[text] = true
	}
	changed := "capabilities: {}\npartners: {}\n# mine\n"
	if err := os.WriteFile(filepath.Join(dir, "overreach", "registry.yaml"), []byte(changed), 0o644); err != nil { //nolint:gosec // as init.sh leaves it: a container reads it
		t.Fatal(err)
	}
	first["registry"] = changed
	if out := output(t, "sh", "init.sh", dir); strings.Contains(out, "made") {
		t.Errorf("the second run made something:\n%s", out)
	}
	if second := files(); !maps.Equal(first, second) {
		t.Errorf("the second run changed a file")
	}
	// Containers have other users: they read the file, nobody else gets to it.
	for name, want := range map[string]os.FileMode{"secrets": 0o700, "secrets/hash_key": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v), expected %v", name, info.Mode().Perm(), err, want)
		}
	}
}

func TestOverreachTakesItsConfigurationAndFindsTheOtherServices(t *testing.T) {
	p, dir := project(t), own(t)
	overreach := filepath.Join(t.TempDir(), "overreach")
	output(t, "go", "build", "-o", overreach, "../../cmd/overreach")
	config := filepath.Join(dir, "overreach", "config.yaml")
	if out := output(t, overreach, "check", "--config", config); !strings.Contains(out, "registry.yaml: ok, 0 partners") {
		t.Errorf("overreach check prints:\n%s", out)
	}
	var c struct {
		Kafka struct {
			Brokers []string
			Topics  []struct{ Topic string }
		}
		ClickHouse struct {
			Addresses    []string
			Username     string
			PasswordFile string `yaml:"password_file"`
		}
		HashKeyFile string `yaml:"hash_key_file"`
		Alerts      struct {
			Alertmanager struct{ URLs []string }
		}
		Listen string
	}
	if err := yaml.Unmarshal([]byte(read(t, config)), &c); err != nil {
		t.Fatal(err)
	}
	kafka := p.Services["kafka"]
	if advertised := *kafka.Environment["KAFKA_ADVERTISED_LISTENERS"]; !strings.Contains(advertised, "://"+c.Kafka.Brokers[0]) {
		t.Errorf("overreach asks Kafka at %s, which advertises %s", c.Kafka.Brokers[0], advertised)
	}
	if made := p.Services["topics"].Command; !slices.Contains(made, "--topic="+c.Kafka.Topics[0].Topic) {
		t.Errorf("overreach reads the topic %s, made is: %s", c.Kafka.Topics[0].Topic, made)
	}
	if c.ClickHouse.Addresses[0] != "clickhouse:9000" || c.Alerts.Alertmanager.URLs[0] != "http://alertmanager:9093" {
		t.Errorf("overreach asks %v and %v, which are no services", c.ClickHouse.Addresses, c.Alerts.Alertmanager.URLs)
	}
	given := map[string]bool{}
	for _, s := range p.Services["overreach"].Secrets {
		given["/run/secrets/"+s.Source] = true
	}
	if !given[c.ClickHouse.PasswordFile] || !given[c.HashKeyFile] {
		t.Errorf("overreach reads %s and %s, given are %v", c.ClickHouse.PasswordFile, c.HashKeyFile, given)
	}
	_, port, _ := strings.Cut(c.Listen, ":")
	if ports := p.Services["overreach"].Ports; len(ports) != 1 || ports[0].Published != port {
		t.Errorf("overreach listens on %s, published is %v", c.Listen, ports)
	}
}

func TestClickHouseUsersAreWhomTheOthersComeAs(t *testing.T) {
	var users struct {
		Users struct {
			Default struct {
				Remove string `xml:"remove,attr"`
			} `xml:"default"`
			Overreach xmlUser `xml:"overreach"`
			Reader    xmlUser `xml:"reader"`
		} `xml:"users"`
	}
	decodeXML(t, "clickhouse-users.xml", &users)
	decodeXML(t, "clickhouse-server.xml", &struct{}{})
	if users.Users.Default.Remove == "" {
		t.Error("the user default, who has no password, is still there")
	}
	script := strings.Join(project(t).Services["clickhouse"].Entrypoint, " ")
	for secret, user := range map[string]xmlUser{"clickhouse_overreach": users.Users.Overreach, "clickhouse_reader": users.Users.Reader} {
		if want := "export " + user.Password.FromEnv + `="$(cat /run/secrets/` + secret + `)"`; user.Password.FromEnv == "" || !strings.Contains(script, want) {
			t.Errorf("the entrypoint lacks %s:\n%s", want, script)
		}
	}
	if got := users.Users.Overreach.Grants; !slices.Equal(got, []string{"GRANT ALL ON overreach.*"}) {
		t.Errorf("overreach may %q", got)
	}
	var want []string
	for line := range strings.Lines(strings.ReplaceAll(store.ReaderRole("overreach", ""), "`", "")) {
		if strings.HasPrefix(line, "GRANT ") {
			grant, _, _ := strings.Cut(line, " TO ")
			want = append(want, grant)
		}
	}
	if got := users.Users.Reader.Grants; len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the reader may\n%s\nthe role overreach_reader may\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	sources := read(t, "../grafana/datasources.yml")
	for _, want := range []string{"username: reader", "$__file{/run/secrets/clickhouse_reader}"} {
		if !strings.Contains(sources, want) {
			t.Errorf("Grafana's data source lacks %s", want)
		}
	}
}

// xmlUser is a user as ClickHouse's configuration has it.
type xmlUser struct {
	Password struct {
		FromEnv string `xml:"from_env,attr"`
	} `xml:"password"`
	Grants []string `xml:"grants>query"`
}

// decodeXML reads a whole file, which ClickHouse would refuse where it is not
// well-formed.
func decodeXML(t *testing.T, file string, into any) {
	t.Helper()
	text := read(t, file)
	if err := xml.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
}

func TestTheImageIsBuiltFromAllThatGoBuildReads(t *testing.T) {
	var ignored []string
	for line := range strings.Lines(read(t, root+"/.dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			ignored = append(ignored, line)
		}
	}
	for _, secret := range []string{"own", "secrets"} {
		if !slices.Contains(ignored, secret) {
			t.Errorf(".dockerignore lets %s into the image's builder", secret)
		}
	}
	const fields = `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(output(t, "go", "list", "-C", root, "-deps", "-f", fields, "./cmd/overreach"))
	if len(files) < 50 {
		t.Fatalf("go list names only %d files", len(files))
	}
	for _, file := range files {
		relative := strings.TrimPrefix(file, dir+"/")
		for _, pattern := range ignored {
			if relative == pattern || strings.HasPrefix(relative, pattern+"/") || strings.Contains("/"+relative, "/testdata/") {
				t.Errorf(".dockerignore keeps %s away, which go build reads", relative)
			}
		}
	}
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(read(t, root+"/go.mod"))[1]
	if dockerfile := read(t, root+"/Dockerfile"); !strings.Contains(dockerfile, "FROM golang:"+version+".") || !regexp.MustCompile(`(?m)^USER [1-9]\d*:[1-9]\d*$`).MatchString(dockerfile) {
		t.Errorf("the Dockerfile does not build with Go %s, or its image runs as root", version)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // the tests name it
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
