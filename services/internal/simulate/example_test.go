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
		fmt.Println(a.First.Format(time.DateTime), a.Account, a.Name, a.Principal)
		for _, e := range a.Expect {
			fmt.Println("   ", e.Type, e.Region, e.Event, e.Calls)
		}
	}
	// Output:
	// 2026-03-03 13:12:31 aws:123456789012 lost permission app-runtime
	//     ApiErrorRateInsight eu-central-1 GetParameter 319
	// 2026-03-03 20:17:02 alibaba:1234567890123456 stolen key deploy-bot
	//     IpInsight ap-southeast-1  0
	//     ApiCallRateInsight ap-southeast-1 DeleteInstance 212
	//     AkInsight ap-southeast-1  212
	//     PolicyChangeInsight cn-hangzhou AttachPolicyToUser 1
	//     PasswordChangeInsight cn-hangzhou CreateLoginProfile 1
	//     TrailConcealmentInsight ap-southeast-1 StopLogging 1
	// 2026-03-04 03:12:58 aws:123456789012 stolen key ci-deploy
	//     IpInsight eu-central-1  0
	//     ApiCallRateInsight eu-central-1 TerminateInstances 345
	//     AkInsight eu-central-1  345
	//     PolicyChangeInsight us-east-1 AttachUserPolicy 1
	//     PasswordChangeInsight us-east-1 CreateLoginProfile 1
	//     TrailConcealmentInsight eu-central-1 StopLogging 1
	// 2026-03-04 06:18:11 alibaba:1234567890123456 lost permission app-runtime
	//     ApiErrorRateInsight ap-southeast-1 Decrypt 289
}
