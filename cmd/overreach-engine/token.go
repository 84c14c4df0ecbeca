package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tokenFile holds the password of the only user, in the folder. Whoever can
// read it, which is the folder's owner, may connect.
const tokenFile = "overreach-engine.token"

// userName is the only user: the name that ClickHouse's clients send where
// they are told none.
const userName = "default"

// readToken returns the folder's token, and makes it where there is none.
func readToken(folder string) (string, error) {
	file := filepath.Join(folder, tokenFile)
	text, err := os.ReadFile(file) //nolint:gosec // the operator names the folder
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(rand.Text())
		err = os.WriteFile(file, append(text, '\n'), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("the token that clients connect with: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("%s is empty: delete it, and the next start makes a new token", file)
	}
	return token, nil
}

// authenticate compares a client's name and password with the only ones, in a
// time that tells nothing about them.
func (e *engine) authenticate(user, password string) error {
	want, got := sha256.Sum256([]byte(e.token)), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(want[:], got[:]) == 1 && user == userName {
		return nil
	}
	return exceptionf(codeAuthenticationFailed, "AUTHENTICATION_FAILED",
		"%s: Authentication failed: password is incorrect, or there is no user with such name. "+
			"The user is %s, the password is in %s of the folder that is served", user, userName, tokenFile)
}
