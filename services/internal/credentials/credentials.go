// Package credentials makes the keys with which the services of a deployment show the NATS servers who they are, and what each of
// them may do.
//
// It uses NATS' own decentralised authentication: an operator, a system account, and one account for the deployment. Each [Role] has a
// scoped signing key in that account: what the role may do stands in the account, that is in the servers' configuration, and a
// user's credentials say no more than which role they have. So a new version of Trailvane that needs other subjects changes one file of
// the servers, and nobody's credentials. Seeds are never printed.
package credentials

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Names of files in the folder.
const (
	ServerFile = "nats-auth.conf" // for the servers' configuration
	TokensFile = "http-tokens"    // for ingest --http-token-file
	keysFolder = "keys"           // seeds of whoever signs: for nobody but the one who makes credentials
)

// tokenBytes is the randomness of a token for HTTP.
const tokenBytes = 24

// FileOf is the name of a role's credentials.
func FileOf(role string) string { return role + ".creds" }

// Make writes what is missing of a folder: the seeds of all who sign, the credentials of each role, a token for HTTP clients; and the
// servers' part anew, with what the roles may do now. Credentials and seeds that are there stay. It returns the files that it wrote.
// Files can be read by everybody who can enter the folder, because containers read them as another user; the folder itself, when it is
// made here, only by its owner.
func Make(dir string, roles []Role) (wrote []string, err error) {
	m := &maker{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, keysFolder), 0o700); err != nil {
		return nil, err
	}
	operator := m.key("operator", nkeys.CreateOperator)
	system := m.key("system", nkeys.CreateAccount)
	account := m.key("account", nkeys.CreateAccount)
	signers := make(map[string]nkeys.KeyPair)
	for _, r := range roles {
		signers[r.Name] = m.key("role-"+r.Name, nkeys.CreateAccount)
	}
	if m.err != nil {
		return m.wrote, m.err
	}
	m.server(operator, system, account, roles, signers)
	for _, r := range roles {
		m.user(r.Name, account, signers[r.Name])
	}
	m.token()
	slices.Sort(m.wrote)
	return m.wrote, m.err
}

// Regions returns the regions that a folder has credentials of viewers for.
func Regions(dir string) (regions []string, err error) {
	const before, after = "role-" + Viewer + "-", ".nk"
	files, err := filepath.Glob(filepath.Join(dir, keysFolder, before+"*"+after))
	for _, f := range files {
		regions = append(regions, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), before), after))
	}
	return regions, err
}

// A maker writes files until one fails.
type maker struct {
	dir   string
	wrote []string
	err   error
}

// key returns the key of a name, which it makes if it is not there.
func (m *maker) key(name string, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	if m.err != nil {
		return nil
	}
	file := filepath.Join(keysFolder, name+".nk")
	seed, err := os.ReadFile(filepath.Join(m.dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		var pair nkeys.KeyPair
		if pair, m.err = create(); m.err != nil {
			return nil
		}
		if seed, m.err = pair.Seed(); m.err == nil {
			m.write(file, seed, 0o600)
		}
		return pair
	}
	if m.err = err; err != nil {
		return nil
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		m.err = fmt.Errorf("%s holds no seed: %w; mend it, or remove the folder and make all credentials anew", filepath.Join(m.dir, file), err)
	}
	return pair
}

// write writes a file as a whole: somebody may be reading the one that is there.
func (m *maker) write(file string, content []byte, mode os.FileMode) {
	if m.err != nil {
		return
	}
	to := filepath.Join(m.dir, file)
	if m.err = os.WriteFile(to+".new", content, mode); m.err == nil {
		if m.err = os.Chmod(to+".new", mode); m.err == nil { // whatever the umask
			m.err = os.Rename(to+".new", to)
		}
	}
	m.wrote = append(m.wrote, file)
}

func (m *maker) is(file string) bool {
	_, err := os.Stat(filepath.Join(m.dir, file))
	return err == nil
}

// server writes the servers' part: whom they trust, and what roles may do.
func (m *maker) server(operator, system, account nkeys.KeyPair, roles []Role, signers map[string]nkeys.KeyPair) {
	s := jwt.NewAccountClaims(m.public(system))
	s.Name = "SYS"
	a := jwt.NewAccountClaims(m.public(account))
	a.Name = "trailvane"
	a.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	for _, r := range roles {
		scope := jwt.NewUserScope()
		scope.Key, scope.Role = m.public(signers[r.Name]), r.Name
		scope.Template.Pub.Allow.Add(r.Publish...)
		scope.Template.Sub.Allow.Add(r.Listen...)
		a.SigningKeys.AddScopedSigner(scope)
	}
	m.write(ServerFile, fmt.Appendf(nil, "# Written by 'trailvane credentials': who may connect, and what each role may do. It holds no secret.\n"+
		"operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n  %s: %s\n  %s: %s\n}\n",
		m.operator(operator, system), m.public(system), m.public(system), m.encode(s, operator), m.public(account), m.encode(a, operator)), 0o644)
}

// operator returns whom the servers trust. It is written down, because it says when it was signed, and servers that are to read their
// configuration again refuse another one.
func (m *maker) operator(operator, system nkeys.KeyPair) string {
	file := filepath.Join(keysFolder, "operator.jwt")
	token, err := os.ReadFile(filepath.Join(m.dir, file))
	if err == nil {
		if c, err := jwt.DecodeOperatorClaims(string(token)); err == nil && c.Subject == m.public(operator) && c.SystemAccount == m.public(system) {
			return string(token)
		}
	}
	c := jwt.NewOperatorClaims(m.public(operator))
	c.Name, c.SystemAccount = "trailvane", m.public(system)
	made := m.encode(c, operator)
	m.write(file, []byte(made), 0o600)
	return made
}

// user writes the credentials of a role, if there are none that its key has signed.
func (m *maker) user(role string, account, signer nkeys.KeyPair) {
	if m.err != nil || m.is(FileOf(role)) {
		return
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		m.err = err
		return
	}
	claims := jwt.NewUserClaims(m.public(user))
	claims.Name, claims.IssuerAccount = role, m.public(account)
	claims.SetScoped(true)
	seed, err := user.Seed()
	if err != nil {
		m.err = err
		return
	}
	creds, err := jwt.FormatUserConfig(m.encode(claims, signer), seed)
	if m.err == nil {
		m.err = err
	}
	m.write(FileOf(role), creds, 0o644)
}

// token writes a file with one token for HTTP clients.
func (m *maker) token() {
	if m.err != nil || m.is(TokensFile) {
		return
	}
	secret := make([]byte, tokenBytes)
	rand.Read(secret) // never fails
	m.write(TokensFile, fmt.Appendf(nil, "# Tokens of those who may send events, one a line (docs/http.md).\ndefault %s\n",
		base64.RawURLEncoding.EncodeToString(secret)), 0o644)
}

func (m *maker) public(pair nkeys.KeyPair) string {
	if m.err != nil {
		return ""
	}
	key, err := pair.PublicKey()
	m.err = err
	return key
}

func (m *maker) encode(c jwt.Claims, signer nkeys.KeyPair) string {
	if m.err != nil {
		return ""
	}
	token, err := c.Encode(signer)
	m.err = err
	return token
}
