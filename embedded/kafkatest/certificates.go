package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// certificates are PEM files: of an authority made for one test, and of a server
// and a client that it vouches for.
type certificates struct {
	ca                    string
	server                string // key and certificate in one file, as Kafka wants it
	clientCert, clientKey string
}

func newCertificates(t testing.TB, dir string) certificates {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var authority *x509.Certificate
	var authorityKey *ecdsa.PrivateKey
	serial := int64(0)
	issue := func(name string) (cert, key []byte) {
		t.Helper()
		serial++
		of := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			KeyUsage:    x509.KeyUsageDigitalSignature,
		}
		secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		by, byKey := authority, authorityKey
		if by == nil { // the authority vouches for itself
			of.IsCA, of.BasicConstraintsValid, of.KeyUsage = true, true, x509.KeyUsageCertSign
			by, byKey = of, secret
		}
		der, err := x509.CreateCertificate(rand.Reader, of, by, secret.Public(), byKey)
		must(err)
		if authority == nil {
			authority, err = x509.ParseCertificate(der)
			must(err)
			authorityKey = secret
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(secret)
		must(err)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	}
	write := func(name string, text []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		must(os.WriteFile(file, text, 0o600))
		return file
	}
	ca, _ := issue("the test's authority")
	server, serverKey := issue("broker")
	client, clientKey := issue("client")
	return certificates{
		ca: write("ca.pem", ca), server: write("server.pem", slices.Concat(serverKey, server)),
		clientCert: write("client.pem", client), clientKey: write("client-key.pem", clientKey),
	}
}
