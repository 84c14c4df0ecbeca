package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/overreach/overreach/embedded/kafkatest"
)

// apacheTLS is what the configuration says beside `group`, where Kafka asks for
// a user over TLS.
func apacheTLS(k *kafkatest.Cluster, mechanism string) string {
	ca, cert, key := k.CA()
	return fmt.Sprintf(`  group: overreach
  sasl: {mechanism: %s, username: watch, password_file: kafka.password}
  tls: {enabled: true, ca: %s, cert: %s, key: %s}
`, mechanism, ca, cert, key)
}

// TestTheWholeWayOnAnApacheKafka that checks ACLs: who watches has the rights
// that check prints, and no others.
func TestTheWholeWayOnAnApacheKafka(t *testing.T) {
	t.Parallel()
	k := kafkatest.Start(t, kafkatest.Options{
		Users: map[string]string{"watch": "seven words"}, TLS: true,
		Settings: map[string]string{
			"authorizer.class.name":                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"super.users":                          "User:ANONYMOUS", // the listener without users, and the controller
			"listener.name.secure.ssl.client.auth": "required",
		},
	})
	k.CreateTopic(wholeTopic, 2, nil)
	s := startServersBeside(t, k.Addrs()[0])
	s.write("kafka.password", "seven words\n")
	secure := func(mechanism string) []string {
		return []string{"brokers: [" + s.kafka, "brokers: [" + k.SecureAddrs()[0], "  group: overreach\n", apacheTLS(k, mechanism)}
	}

	// Without rights both say which; with those that were printed both work.
	refused := start(t, "check", "--connect", "--config", s.write("config.yaml", s.settings(secure("SCRAM-SHA-512")...)))
	if code := refused.exit(patience); code != exitFailed {
		t.Errorf("without rights check ended with exit code %d", code)
	}
	var rights []string
	for line := range strings.Lines(refused.stdout.String()) {
		if args, ok := strings.CutPrefix(line, "kafka-acls.sh "); ok {
			rights = append(rights, args)
		}
	}
	if len(rights) != 2 {
		t.Fatalf("check printed the rights %q, expected those of the topic and of the group", rights)
	}
	for _, args := range rights {
		k.Tool("org.apache.kafka.tools.AclCommand", strings.Fields(strings.NewReplacer("'", "", k.SecureAddrs()[0], s.kafka).Replace(args))...)
	}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		said := run(t, "check", "--connect", "--config", s.write("config.yaml", s.settings(secure(mechanism)...)))
		for _, part := range []string{"1 brokers", "topic       access: 2 partitions", "group       overreach: "} {
			if !strings.Contains(said, part) {
				t.Errorf("%s: check does not say %q:\n%s", mechanism, part, said)
			}
		}
	}

	// Events in, each counted once, findings out; and so it goes on after a kill,
	// and after the broker's.
	s.produce(0, madeEvents(t, 0, 100)...)
	s.produce(1, madeEvents(t, 100, 300)...)
	first := s.run(secure("SCRAM-SHA-256")...)
	s.counted(first, 300)
	first.until("every partner is found to be unregistered", func() bool {
		return s.query("SELECT count() FROM findings WHERE detector = 'unregistered_partner' AND state = 'open'")[0] == "3"
	})
	first.kill()
	s.produce(1, madeEvents(t, 300, 420)...)
	second := s.run(secure("SCRAM-SHA-512")...)
	s.counted(second, 420)
	k.Kill(0)
	second.awaits(1, "Kafka does not answer")
	k.Restart(0)
	k.AwaitBrokers()
	s.produce(0, madeEvents(t, 420, 500)...)
	s.counted(second, 500)
	s.holdsOnce(500)
	if told := s.query("SELECT count(), uniqExact(id) FROM finding_changes WHERE change = 'new'"); told[0] != "3\t3" {
		t.Errorf("findings told as new, and their ids, are %q: expected each of 3 told once", told)
	}
	second.stop()
}
