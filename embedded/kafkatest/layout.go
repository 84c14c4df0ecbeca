package kafkatest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// plan is one broker as its properties describe it.
type plan struct {
	dir           string
	plain, secure string // host:port
	detour        Detour
	cluster       string // the cluster's id
	users         map[string]string
	properties    map[string]string
}

// layout plans the brokers: their ports, folders and properties.
func (c *Cluster) layout(dir string) []plan {
	n := c.options.Brokers
	ports := freePorts(c.t, 5*n)
	id := make([]byte, 16)
	_, _ = rand.Read(id) // it never fails
	id[0] &= 0x7f        // an id that begins with "-" is taken for an option
	var voters []string
	for i := range n {
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, ports[3*i+2]))
	}
	var all []plan
	for i := range n {
		b := plan{
			dir: filepath.Join(dir, fmt.Sprintf("broker%d", i+1)), plain: ports[3*i], secure: ports[3*i+1],
			detour:  Detour{From: ports[3*n+2*i], To: ports[3*n+2*i+1]},
			cluster: base64.RawURLEncoding.EncodeToString(id), users: c.options.Users,
		}
		copies := strconv.Itoa(min(n, 3))
		b.properties = map[string]string{
			"process.roles":                  "broker,controller",
			"node.id":                        strconv.Itoa(i + 1),
			"controller.quorum.voters":       strings.Join(voters, ","),
			"controller.listener.names":      "CONTROLLER",
			"inter.broker.listener.name":     "PLAIN",
			"listeners":                      "PLAIN://" + ports[3*i] + ",CONTROLLER://" + ports[3*i+2],
			"advertised.listeners":           "PLAIN://" + ports[3*i],
			"listener.security.protocol.map": "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT",
			"log.dirs":                       filepath.Join(b.dir, "data"),
			"auto.create.topics.enable":      "false",
			"default.replication.factor":     copies,

			"offsets.topic.replication.factor":                 copies,
			"offsets.topic.num.partitions":                     "1",
			"transaction.state.log.replication.factor":         copies,
			"transaction.state.log.min.isr":                    "1",
			"transaction.state.log.num.partitions":             "1",
			"share.coordinator.state.topic.replication.factor": copies,
			"share.coordinator.state.topic.min.isr":            "1",

			// Records of long ago would be deleted half a minute after the start.
			"log.retention.ms": "-1",

			// Tests wait for takeovers and deletions; nobody else does here.
			"group.min.session.timeout.ms":     "500",
			"group.initial.rebalance.delay.ms": "0",
			"log.segment.delete.delay.ms":      "1000",
			"broker.session.timeout.ms":        "3000",
			"broker.heartbeat.interval.ms":     "500",
		}
		if c.options.secure() {
			b.addSecure(&c.options, c.certs)
		}
		if c.options.Detour {
			b.addListener("DETOUR", b.detour.To, b.detour.From, "PLAINTEXT")
		}
		maps.Copy(b.properties, c.options.Settings)
		all = append(all, b)
	}
	return all
}

// addSecure adds the listener SECURE.
func (b *plan) addSecure(o *Options, certs certificates) {
	protocol := "PLAINTEXT"
	set := func(name, value string) { b.properties["listener.name.secure."+name] = value }
	if o.TLS {
		protocol = "SSL"
		set("ssl.keystore.type", "PEM")
		set("ssl.keystore.location", certs.server)
		set("ssl.truststore.type", "PEM")
		set("ssl.truststore.location", certs.ca)
		set("ssl.client.auth", "requested")
	}
	if len(o.Users) > 0 {
		protocol = "SASL_" + protocol
		set("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512")
		for _, scram := range []string{"scram-sha-256", "scram-sha-512"} {
			set(scram+".sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required;")
		}
		login := "org.apache.kafka.common.security.plain.PlainLoginModule required"
		for _, name := range slices.Sorted(maps.Keys(o.Users)) {
			login += fmt.Sprintf(" user_%s=%q", name, o.Users[name])
		}
		set("plain.sasl.jaas.config", login+";")
	}
	b.addListener("SECURE", b.secure, b.secure, protocol)
}

// addListener adds a listener that tells clients to come to an address.
func (b *plan) addListener(name, at, advertised, protocol string) {
	b.properties["listeners"] += "," + name + "://" + at
	b.properties["advertised.listeners"] += "," + name + "://" + advertised
	b.properties["listener.security.protocol.map"] += "," + name + ":" + protocol
}

// file is that of the properties.
func (b *plan) file() string { return filepath.Join(b.dir, "server.properties") }

// data is a file among the broker's data.
func (b *plan) data(file string) string { return filepath.Join(b.properties["log.dirs"], file) }

// write writes the properties.
func (b *plan) write(t testing.TB) {
	t.Helper()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(b.properties)) {
		_, _ = fmt.Fprintf(&text, "%s=%s\n", name, strings.ReplaceAll(b.properties[name], `\`, `\\`))
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.file(), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// format is what kafka.tools.StorageTool is called with, but for the properties.
func (b *plan) format() []string {
	args := []string{"format", "--cluster-id", b.cluster}
	for _, name := range slices.Sorted(maps.Keys(b.users)) {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, name, b.users[name]))
		}
	}
	return args
}

// Ports below those that systems lend to outgoing connections, by default: they
// stay free between two lives of a broker.
const firstPort, lastPort = 15000, 32000

// freePorts are addresses on loopback on which nobody listens. They are drawn by
// chance, so that test processes side by side do not take one another's.
func freePorts(t testing.TB, n int) []string {
	t.Helper()
	var free []string
	for range 1000 {
		if len(free) == n {
			return free
		}
		port, err := rand.Int(rand.Reader, big.NewInt(lastPort-firstPort))
		if err != nil {
			t.Fatal(err)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+port.Int64())
		l, err := net.Listen("tcp", addr)
		if err != nil || slices.Contains(free, addr) {
			continue
		}
		_ = l.Close() // it never took a connection
		free = append(free, addr)
	}
	t.Fatalf("no %d free ports were found between %d and %d", n, firstPort, lastPort)
	return nil
}

func randomName() string { return strings.ToLower(rand.Text()[:8]) }
