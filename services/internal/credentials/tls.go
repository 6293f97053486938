package credentials

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Names of files of TLS in the folder.
const (
	CAFile        = "ca.pem"         // for --tls-ca of services
	CertFile      = "server.pem"     // for the servers
	CertKeyFile   = "server-key.pem" // for the servers
	authorityFile = "ca-key.pem"     // in the folder of keys
)

const (
	authorityTime = 10 * 365 * 24 * time.Hour
	certTime      = 2 * 365 * 24 * time.Hour

	// renewTime is how long before its end a certificate is made anew.
	renewTime = 90 * 24 * time.Hour
)

// MakeTLS writes the certificate of an authority of the deployment's own, unless it is there, and one for servers with these names and
// addresses that it has signed, unless there is one for all of them that holds for three more months. It returns the files that it wrote.
func MakeTLS(dir string, hosts []string, now time.Time) (wrote []string, err error) {
	m := &maker{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, keysFolder), 0o700); err != nil {
		return nil, err
	}
	ca, caKey, err := m.authority(now)
	if err != nil {
		return m.wrote, err
	}
	if old, err := readCert(filepath.Join(dir, CertFile)); err == nil && now.Add(renewTime).Before(old.NotAfter) && old.CheckSignatureFrom(ca) == nil &&
		!slices.ContainsFunc(hosts, func(h string) bool { return old.VerifyHostname(h) != nil }) && m.is(CertKeyFile) {
		return m.wrote, nil
	}
	cert := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Trailvane NATS server"}, NotAfter: now.Add(certTime), KeyUsage: x509.KeyUsageDigitalSignature,
		// Servers of a cluster are each other's clients.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, h)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return m.wrote, err
	}
	m.writeKey(CertKeyFile, key, 0o644)
	m.writeCert(CertFile, cert, ca, &key.PublicKey, caKey, now)
	return m.wrote, m.err
}

// authority returns the deployment's own, which it makes if there is none.
func (m *maker) authority(now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	file := filepath.Join(m.dir, keysFolder, authorityFile)
	content, err := os.ReadFile(file)
	if err == nil {
		block, _ := pem.Decode(content)
		if block == nil {
			return nil, nil, fmt.Errorf("%s holds no key", file)
		}
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		ca, err := readCert(filepath.Join(m.dir, CAFile))
		return ca, key, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	ca := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Trailvane NATS authority"}, NotAfter: now.Add(authorityTime), IsCA: true, BasicConstraintsValid: true,
		MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	m.writeCert(CAFile, ca, ca, &key.PublicKey, key, now)
	m.writeKey(filepath.Join(keysFolder, authorityFile), key, 0o600)
	if m.err != nil {
		return nil, nil, m.err
	}
	made, err := readCert(filepath.Join(m.dir, CAFile))
	return made, key, err
}

func (m *maker) writeCert(file string, cert, parent *x509.Certificate, public *ecdsa.PublicKey, signer *ecdsa.PrivateKey, now time.Time) {
	if m.err != nil {
		return
	}
	cert.NotBefore = now.Add(-time.Hour) // clocks differ
	var der []byte
	if cert.SerialNumber, m.err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); m.err != nil {
		return
	}
	if der, m.err = x509.CreateCertificate(rand.Reader, cert, parent, public, signer); m.err == nil {
		m.write(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	}
}

func (m *maker) writeKey(file string, key *ecdsa.PrivateKey, mode os.FileMode) {
	if m.err != nil {
		return
	}
	var der []byte
	if der, m.err = x509.MarshalECPrivateKey(key); m.err == nil {
		m.write(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), mode)
	}
}

func readCert(file string) (*x509.Certificate, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return x509.ParseCertificate(block.Bytes)
}
