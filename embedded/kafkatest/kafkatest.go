// Package kafkatest gives a test an Apache Kafka, so that what is said of the
// real broker is shown on it, and not on one that resembles it.
package kafkatest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overreach/overreach/embedded/embeddedtest"
)

// Options say what a test needs of its cluster. The zero value is one broker
// without users or TLS.
type Options struct {
	// Brokers is how many there are, each of them a controller too; 0 is one.
	// Topics have as many replicas as there are brokers, three at most.
	Brokers int
	// Settings are added to, or replace, those of every broker's properties.
	Settings map[string]string
	// Users may log in at SecureAddrs, by PLAIN and SCRAM: passwords by name.
	Users map[string]string
	// TLS encrypts SecureAddrs, under certificates made for the test.
	TLS bool
	// Detour gives each broker another listener, for everybody like Addrs, that
	// sends clients to another address than its own: see Detours.
	Detour bool
	// Own says that the test stops brokers, so that they must not be others'.
	Own bool
}

// Cluster is an Apache Kafka that ends with the test, or one that was named by
// the environment.
type Cluster struct {
	t       testing.TB
	options Options
	addrs   []string
	secure  []string
	detours []Detour
	certs   certificates
	suffix  string // of topics and groups; empty where the cluster is the test's own
	brokers []broker
	admin   admin
}

// broker is one that the test started: a process or a container.
type broker interface {
	// start starts it, also again on the same data and ports.
	start() error
	// end sends SIGTERM or, where it is to die at once, SIGKILL, and returns when
	// it is gone. It may be gone already.
	end(atOnce bool) error
	// tool runs a class of Kafka's own tools to its end.
	tool(class string, args []string) (said string, err error)
	// read and write read and write a whole file of its data while it is stopped.
	read(file string) ([]byte, error)
	write(file string, all []byte) error
	// cleanUp ends it with the test, and shows its log where that failed.
	cleanUp()
}

// EnvBrokers names brokers that tests may use, host:port separated by commas, as
// in 127.0.0.1:9092. They must let in everybody, allow sessions of one second
// (group.min.session.timeout.ms=500), and the deletion of topics.
const EnvBrokers = "OVERREACH_TEST_KAFKA"

// startTimeout is how long a cluster may take to answer. A broker takes four
// seconds on an idle machine, and minutes on one that others keep busy.
const startTimeout = 5 * time.Minute

// Start gives the test a cluster that answers: the brokers that EnvBrokers names
// where they will do; else its own, in containers where a Docker engine answers
// (see EnvImage), or else of the jars that scripts/fetch-kafka.sh fetched. Its own
// listens on loopback, keeps its data in the test's folder, ends with the test or
// the test's process, and what it logged is shown where the test fails. Where no Kafka can be had, the test fails in CI and is skipped elsewhere.
//
// A broker takes seconds to start and memory to run: where several tests will do
// with the same, let them be subtests of one that starts it.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	if os.Getenv(embeddedtest.EnvQuick) != "" {
		embeddedtest.LeaveOut(t, "it needs an Apache Kafka, and "+embeddedtest.EnvQuick+" is set")
	}
	c := &Cluster{t: t, options: options}
	c.options.Brokers = max(1, options.Brokers)
	if named := os.Getenv(EnvBrokers); named != "" && !c.mustBeOwn() {
		c.addrs = strings.Split(named, ",")
		c.suffix = "-" + randomName()
	} else {
		c.startOwn()
	}
	c.admin = newAdmin(t, c.addrs)
	c.AwaitBrokers()
	return c
}

// mustBeOwn reports whether no cluster that was there before will do.
func (c *Cluster) mustBeOwn() bool {
	o := c.options
	return o.Own || o.Detour || o.Brokers > 1 || len(o.Settings) > 0 || o.secure()
}

func (o *Options) secure() bool { return o.TLS || len(o.Users) > 0 }

// startOwn starts the brokers. They find each other while they start, so that
// none is waited for before all were started.
func (c *Cluster) startOwn() {
	c.t.Helper()
	dir := c.t.TempDir()
	if c.options.TLS {
		c.certs = newCertificates(c.t, dir)
	}
	plans := c.layout(dir)
	for i := range plans {
		p := &plans[i]
		p.write(c.t)
		c.addrs = append(c.addrs, p.plain)
		if c.options.Detour {
			c.detours = append(c.detours, p.detour)
		}
		if c.options.secure() {
			c.secure = append(c.secure, p.secure)
		}
	}
	if !c.startContainers(plans) {
		c.startProcesses(plans)
	}
}

// startContainers reports whether it did: it cannot where no Docker engine
// answers or has the image, which is a failure only where the image was named.
func (c *Cluster) startContainers(plans []plan) bool {
	c.t.Helper()
	name, must := image()
	err := dockerAnswers(c.t.Context())
	for i := range plans {
		if err != nil {
			break
		}
		b := &inContainer{t: c.t, name: fmt.Sprintf("broker %d", i+1), image: name, plan: &plans[i]}
		b.files = append(b.files, plans[i].file())
		if c.options.TLS {
			b.files = append(b.files, c.certs.ca, c.certs.server)
		}
		c.brokers = append(c.brokers, b)
		c.t.Cleanup(b.cleanUp)
		err = b.start()
	}
	if err == nil {
		return true
	}
	if must || len(c.brokers) > 1 {
		c.t.Fatalf("starting brokers of the image %s: %v", name, err)
	}
	c.brokers = nil
	return false
}

func (c *Cluster) startProcesses(plans []plan) {
	c.t.Helper()
	libs, java := needs(c.t)
	for i := range plans {
		b := &process{t: c.t, name: fmt.Sprintf("broker %d", i+1), java: java, libs: libs, plan: &plans[i]}
		c.brokers = append(c.brokers, b)
		c.t.Cleanup(b.cleanUp)
		c.Restart(i)
	}
}

// Addrs are the brokers, host:port, that everybody may use.
func (c *Cluster) Addrs() []string { return slices.Clone(c.addrs) }

// SecureAddrs are the same brokers where they ask for users, or TLS, or both, as
// Options say; nil where they say neither.
func (c *Cluster) SecureAddrs() []string { return slices.Clone(c.secure) }

// Detour is how clients that come by it reach a broker: they go to From, where the
// test listens and passes on what it will to To.
type Detour struct{ From, To string } // host:port

// Detours are those of the brokers where Options.Detour says so.
func (c *Cluster) Detours() []Detour { return slices.Clone(c.detours) }

// CA is the PEM file of the authority that vouches for the brokers, and for the
// clients' certificate and key, which are PEM files too. All are empty without
// Options.TLS.
func (c *Cluster) CA() (ca, clientCert, clientKey string) {
	return c.certs.ca, c.certs.clientCert, c.certs.clientKey
}

// Name is what a topic or group is called in this cluster: the name itself where
// the cluster is the test's own, else with an end that nobody else uses.
func (c *Cluster) Name(name string) string { return name + c.suffix }

// Stop ends a broker, 0 the first, as an operator would (SIGTERM), and returns
// when it is gone.
func (c *Cluster) Stop(broker int) { c.t.Helper(); c.end(broker, false) }

// Kill ends a broker, 0 the first, as a power cut would (SIGKILL), and returns
// when it is gone.
func (c *Cluster) Kill(broker int) { c.t.Helper(); c.end(broker, true) }

func (c *Cluster) end(broker int, atOnce bool) {
	c.t.Helper()
	if err := c.brokers[broker].end(atOnce); err != nil {
		c.t.Fatalf("ending broker %d: %v", broker+1, err)
	}
}

// Restart starts a broker again on its data and ports. It answers seconds later:
// see AwaitBrokers.
func (c *Cluster) Restart(broker int) {
	c.t.Helper()
	if err := c.brokers[broker].start(); err != nil {
		c.t.Fatalf("starting broker %d: %v", broker+1, err)
	}
}

// Alter changes a file among the data of a broker that was stopped, as a faulty
// disk does: file is one of a partition's, as in "access-0/00000000000000000000.log".
func (c *Cluster) Alter(broker int, file string, change func([]byte) []byte) {
	c.t.Helper()
	b := c.brokers[broker]
	all, err := b.read(file)
	if err == nil {
		err = b.write(file, change(all))
	}
	if err != nil {
		c.t.Fatalf("altering %s of broker %d: %v", file, broker+1, err)
	}
}

// Tool runs one of Kafka's own tools, by its class, as its script would:
// "org.apache.kafka.tools.AclCommand" is kafka-acls.sh. It returns what it said.
func (c *Cluster) Tool(class string, args ...string) string {
	c.t.Helper()
	said, err := c.brokers[0].tool(class, args)
	if err != nil {
		c.t.Fatalf("%s %q: %v\n%s", class, args, err, said)
	}
	return said
}
