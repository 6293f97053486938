package simulate_test

import (
	"fmt"
	"os"
	"time"

	"github.com/trailvane/trailvane/services/internal/simulate"
)

func Example() {
	dir, err := os.MkdirTemp("", "simulate")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	truth, err := simulate.Write(dir, simulate.Options{Seed: 1, Days: 3})
	if err != nil {
		panic(err)
	}
	for _, a := range truth.Attacks {
		fmt.Println(a.First.Format(time.DateTime), a.Account, a.Region, a.Event, a.Calls, "times by", a.Principal)
	}
	// Output:
	// 2026-03-03 20:19:57 alibaba:1234567890123456 ap-southeast-1 DeleteInstance 207 times by deploy-bot
	// 2026-03-04 03:04:46 aws:123456789012 eu-central-1 TerminateInstances 318 times by ci-deploy
}
