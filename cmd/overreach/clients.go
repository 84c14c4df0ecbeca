package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/overreach/overreach/store"
)

// storeConfig is how the configuration reaches ClickHouse.
func (c *Config) storeConfig() (store.Config, error) {
	password, err := c.ClickHousePassword()
	if err != nil {
		return store.Config{}, fmt.Errorf("clickhouse.password_file: %w", err)
	}
	secure, err := c.ClickHouse.TLS.client("clickhouse.tls")
	if err != nil {
		return store.Config{}, err
	}
	return store.Config{
		Addresses: c.ClickHouse.Addresses, Database: c.ClickHouse.Database, Username: c.ClickHouse.Username,
		Password: string(password), TLS: secure, Cluster: c.ClickHouse.Cluster,
	}, nil
}

// kafkaAuth is how the configuration speaks to Kafka: nil for no TLS, and nil for
// no authentication.
func (c *Config) kafkaAuth() (*tls.Config, sasl.Mechanism, error) {
	secure, err := c.Kafka.TLS.client("kafka.tls")
	if err != nil || c.Kafka.SASL.Mechanism == "" {
		return secure, nil, err
	}
	password, err := c.KafkaPassword()
	if err != nil {
		return nil, nil, fmt.Errorf("kafka.sasl.password_file: %w", err)
	}
	var mechanism sasl.Mechanism
	switch user := c.Kafka.SASL.Username; c.Kafka.SASL.Mechanism {
	case "PLAIN":
		mechanism = plain.Mechanism{Username: user, Password: string(password)}
	case "SCRAM-SHA-256":
		mechanism, err = scram.Mechanism(scram.SHA256, user, string(password))
	case "SCRAM-SHA-512":
		mechanism, err = scram.Mechanism(scram.SHA512, user, string(password))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("kafka.sasl: the user or the password cannot be used: %w", err)
	}
	return secure, mechanism, nil
}

// client is what a connection is encrypted by, nil for no TLS.
func (c TLSConfig) client(path string) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	secure := &tls.Config{ServerName: c.ServerName, MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(string(c.CA))
		if err != nil {
			return nil, fmt.Errorf("%s.ca: %w", path, err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s.ca: %s holds no certificate: expected a PEM file of the authorities", path, c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(string(c.Cert), string(c.Key))
		if err != nil {
			return nil, fmt.Errorf("%s.cert: %w", path, err)
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	return secure, nil
}

// kafkaClient is a client and the connections that are its own.
type kafkaClient struct {
	*kafka.Client
	transport *kafka.Transport
}

func (k kafkaClient) close() { k.transport.CloseIdleConnections() }

// kafkaClient connects as the configuration says, to the given brokers or else to
// those of the configuration.
func (a *app) kafkaClient(brokers []string) (kafkaClient, error) {
	c, _, err := a.loadConfig()
	if err != nil {
		return kafkaClient{}, err
	}
	if len(brokers) == 0 {
		brokers = c.Kafka.Brokers
	}
	if len(brokers) == 0 {
		return kafkaClient{}, usagef("no Kafka broker is named: give --brokers HOST:PORT, or set kafka.brokers in the file of --config")
	}
	secure, mechanism, err := c.kafkaAuth()
	if err != nil {
		return kafkaClient{}, err
	}
	t := &kafka.Transport{TLS: secure, SASL: mechanism, ClientID: "overreach"}
	return kafkaClient{&kafka.Client{Addr: kafka.TCP(brokers...), Transport: t}, t}, nil
}
