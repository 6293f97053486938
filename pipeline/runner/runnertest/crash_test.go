package runnertest

import (
	"testing"
)

func TestRule9_CrashAnywhere(t *testing.T) { Crash(t, toy()) }
