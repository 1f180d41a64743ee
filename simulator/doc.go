// Package simulator is a software authenticator.
package simulator
