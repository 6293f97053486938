//go:build !faults

package service

import "github.com/trailvane/trailvane/pipeline/runner"

// disturb does nothing in a program that is not built to be disturbed; see test/crash/processes.
func disturb(*runner.Config) {}
