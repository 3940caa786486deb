package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// clients is a credential with what every client of the SDK is made from.
type clients struct {
	credential azcore.TokenCredential
	options    *arm.ClientOptions
}

// core points the whole SDK at the simulator: its endpoints and its authority, nothing else.
func core(s settings) (policy.ClientOptions, error) {
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		return policy.ClientOptions{}, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return policy.ClientOptions{}, fmt.Errorf("%s holds no certificate", s.ca)
	}
	return policy.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: s.origin,
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Audience: s.origin, Endpoint: s.origin}},
		},
		Transport: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
		Retry:     policy.RetryOptions{MaxRetries: 1},
	}, nil
}

func logIn(s settings, secret string) (*clients, error) {
	options, err := core(s)
	if err != nil {
		return nil, err
	}
	credential, err := azidentity.NewClientSecretCredential(s.tenant, s.admin, secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		return nil, err
	}
	return &clients{credential: credential, options: &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true}}, nil
}

// federate logs in as a workload does: with a token of an issuer that this program itself is.
func federate(ctx context.Context, s settings, subject string) (*clients, func(), error) {
	options, err := core(s)
	if err != nil {
		return nil, nil, err
	}
	token, stop, err := issue(s.issuer, subject)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "token")
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return nil, nil, err
	}
	credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: options, ClientID: s.operator, TenantID: s.tenant, TokenFilePath: file, DisableInstanceDiscovery: true})
	if err != nil {
		return nil, nil, err
	}
	end := func() { stop(); os.RemoveAll(dir) }
	return &clients{credential: credential, options: &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true}}, end, nil
}

// issue serves the two documents of an OpenID issuer and signs one token that Entra is to exchange.
func issue(issuer, subject string) (string, func(), error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", nil, err
	}
	text := base64.RawURLEncoding.EncodeToString
	keyID := text(big.NewInt(time.Now().UnixNano()).Bytes())
	documents := map[string]any{
		"/.well-known/openid-configuration": map[string]string{"issuer": issuer, "jwks_uri": issuer + "/keys"},
		"/keys": map[string]any{"keys": []map[string]string{{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": keyID,
			"n": text(key.N.Bytes()), "e": text(big.NewInt(int64(key.E)).Bytes())}}},
	}
	listener, err := net.Listen("tcp", strings.TrimPrefix(issuer, "http://"))
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, known := documents[r.URL.Path]
		if !known {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(document)
	})}
	go server.Serve(listener)
	now := time.Now().Unix()
	head, _ := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": keyID})
	claims, _ := json.Marshal(map[string]any{"iss": issuer, "sub": subject, "aud": "api://AzureADTokenExchange", "iat": now, "nbf": now, "exp": now + 600})
	signed := text(head) + "." + text(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", nil, err
	}
	return signed + "." + text(signature), func() { server.Close() }, nil
}

// refusedWith is nil when err is ARM's refusal with that status and code.
func refusedWith(err error, status int, code string) error {
	var response *azcore.ResponseError
	if errors.As(err, &response) && response.StatusCode == status && response.ErrorCode == code {
		return nil
	}
	return fmt.Errorf("expected %d %s, got: %w", status, code, orNothing(err))
}

func orNothing(err error) error {
	if err == nil {
		return errors.New("no error at all")
	}
	return err
}
