package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/overreach/overreach/embedded/embeddedtest"
	"github.com/overreach/overreach/embedded/kafkatest"
	"github.com/overreach/overreach/store"
)

// Images that scripts/test-containers.sh names: overreach's own, without which
// there is nothing to test, and a ClickHouse's, without which the engine is used.
const (
	envImage           = "OVERREACH_TEST_IMAGE"
	envClickHouseImage = "OVERREACH_TEST_CLICKHOUSE_IMAGE"
)

// inContainer starts an image on the host's network and returns when it is
// healthy. It ends with the test, and what it said is shown where that fails.
func inContainer(t *testing.T, image string, healthy wait.Strategy, files map[string]string) *testcontainers.DockerContainer {
	t.Helper()
	options := []testcontainers.ContainerCustomizer{
		testcontainers.WithLogger(log.TestLogger(t)),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) { c.NetworkMode = "host" }),
		testcontainers.WithEndpointSettingsModifier(func(networks map[string]*network.EndpointSettings) { clear(networks) }),
		testcontainers.WithEnv(map[string]string{"CLICKHOUSE_SKIP_USER_SETUP": "1"}), // no password, as in the engine
		testcontainers.WithWaitStrategyAndDeadline(patience, healthy),
	}
	for inside, outside := range files {
		options = append(options, testcontainers.WithFiles(testcontainers.ContainerFile{
			HostFilePath: outside, ContainerFilePath: inside, FileMode: 0o444,
		}))
	}
	c, err := testcontainers.Run(t.Context(), image, options...)
	if c != nil {
		t.Cleanup(func() {
			if err := testcontainers.TerminateContainer(c); err != nil {
				t.Errorf("ending %s: %v", image, err)
			}
		})
	}
	if err != nil {
		t.Fatalf("starting %s: %v", image, err)
	}
	return c
}

// TestTheImageCountsOnceBesideAKafkaAndAClickHouseInContainers starts overreach
// as its users do, with nothing in the container but the one file.
func TestTheImageCountsOnceBesideAKafkaAndAClickHouseInContainers(t *testing.T) {
	t.Parallel()
	image := os.Getenv(envImage)
	if image == "" {
		t.Skip("NOT RUN: make test-containers makes the image")
	}
	k := kafkatest.Start(t, kafkatest.Options{Own: true}) // its topic is called access
	k.CreateTopic(wholeTopic, 2, nil)
	s := startServersBeside(t, k.Addrs()[0])
	if server := os.Getenv(envClickHouseImage); server != "" {
		s.useClickHouse(server)
	}
	files := map[string]string{"/etc/overreach/config.yaml": s.write("config.yaml", s.settings())}
	for _, name := range []string{"hash.key", "registry.yaml"} {
		files["/etc/overreach/"+name] = filepath.Join(s.dir, name)
	}
	counted := func(records string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			rows, err := s.ask("SELECT sum(records) FROM coverage")
			if err == nil && rows[0] == records {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("not counted within %s: %s records; last: %q, %v", patience, records, rows, err)
			}
		}
	}

	first := inContainer(t, image, wait.ForHealthCheck(), files)
	s.produce(0, madeEvents(t, 0, 100)...)
	s.produce(1, madeEvents(t, 100, 300)...)
	counted("300")
	within := soon
	if err := first.Stop(t.Context(), &within); err != nil {
		t.Fatal(err)
	}
	if state, err := first.State(t.Context()); err != nil || state.ExitCode != exitOK {
		t.Errorf("after SIGTERM it ended with %+v, %v", state, err)
	}
	s.produce(1, madeEvents(t, 300, 420)...)
	inContainer(t, image, wait.ForHealthCheck(), files)
	counted("420")
	s.holdsOnce(420)
}

// useClickHouse puts a server of ClickHouse's own image in the engine's place.
func (s *servers) useClickHouse(image string) {
	s.t.Helper()
	if err := s.engine.Stop(); err != nil {
		s.t.Fatal(err)
	}
	port := func(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
	ports := s.write("ports.xml", "<clickhouse><tcp_port>"+port(s.engineAt.NativeAddr)+"</tcp_port><http_port>"+port(s.engineAt.HTTPAddr)+
		"</http_port><mysql_port remove=\"1\"/><postgresql_port remove=\"1\"/><interserver_http_port remove=\"1\"/></clickhouse>\n")
	password := s.write("password.xml", "<clickhouse><users><default><password>"+embeddedtest.Password+
		"</password><networks><ip>::/0</ip></networks></default></users></clickhouse>\n")
	answers := wait.ForHTTP("/ping").WithPort(port(s.engineAt.HTTPAddr) + "/tcp")
	inContainer(s.t, image, answers, map[string]string{
		"/etc/clickhouse-server/config.d/ports.xml": ports, "/etc/clickhouse-server/users.d/password.xml": password,
	})
	if err := store.CreateDatabase(s.t.Context(), s.clickhouse); err != nil {
		s.t.Fatal(err)
	}
}
