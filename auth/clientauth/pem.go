package clientauth

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// LoadKey reads a private key from PEM: PKCS #8 ("PRIVATE KEY"), PKCS #1 ("RSA
// PRIVATE KEY") or SEC 1 ("EC PRIVATE KEY"). Blocks before it that are no
// private key are passed over, such as the parameters that OpenSSL writes.
//
// The key is one that [PrivateKeyJWT] can sign with. An error says what the
// input is instead, and never quotes it.
func LoadKey(data []byte) (crypto.Signer, error) {
	other := ""
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return parseBlock(block)
		}
		other = block.Type
	}
	switch {
	case other == "":
		return nil, errors.New("clientauth: no PEM block found: the key has to begin with -----BEGIN PRIVATE KEY-----")
	case strings.HasSuffix(other, "PUBLIC KEY"), other == "CERTIFICATE":
		return nil, errors.New("clientauth: the PEM holds a public key: give the private key that belongs to it")
	}
	return nil, errors.New("clientauth: the PEM holds no private key")
}

func parseBlock(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("clientauth: the private key is encrypted: decrypt it first, as with openssl pkey -in key.pem -out plain.pem")
	}
	var (
		key    any
		err    error
		format string
	)
	switch block.Type {
	case "PRIVATE KEY":
		format = "PKCS #8"
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		format = "PKCS #1"
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		format = "SEC 1"
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "OPENSSH PRIVATE KEY":
		return nil, errors.New("clientauth: the private key is in OpenSSH's own format: convert it with ssh-keygen -p -m PKCS8 -f key")
	default:
		return nil, errors.New("clientauth: the PEM block is of a kind that is not known: use PRIVATE KEY (PKCS #8)")
	}
	if err != nil {
		return nil, fmt.Errorf("clientauth: the private key is damaged or of a kind that is not known: it is no valid %s key", format)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("clientauth: the private key is a %T, which cannot sign: use RSA, ECDSA or Ed25519", key)
	}
	if _, err := algorithms(signer.Public()); err != nil {
		return nil, fmt.Errorf("clientauth: the private key %w", err)
	}
	return signer, nil
}
