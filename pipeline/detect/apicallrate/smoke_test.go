package apicallrate

import (
	"fmt"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

func TestSmoke(t *testing.T) {
	d := New()
	p := &schemas.Pane{Account: schemas.Account{Provider: "aws", ID: "1"}, Region: "r", Strings: []string{"", "ec2", "Terminate", "bob"}}
	base := schemas.Minute(20000 * 1440)
	for m := schemas.Minute(0); m < 9*1440; m++ {
		n := uint32(0)
		if m%1440 == 600 {
			n = 2
		}
		if m >= 8*1440+100 && m < 8*1440+110 {
			n = 60
		}
		p.Rows = p.Rows[:0]
		if n > 0 {
			p.Rows = append(p.Rows, schemas.Row{Minute: base + m, Service: 1, Name: 2, Principal: 3, Write: true, Count: n, Sample: fmt.Sprint(m)})
		}
		p.Watermark = base + m - 15
		d.Observe(p, schemas.DefaultSettings(), func(f *schemas.Finding) {
			fmt.Println(m-8*1440, f.Kind, f.Start-base-8*1440, f.End-base-8*1440, f.Statistics, f.Attributions, f.Why.Text, *f.Why.Rate, f.Why.Log10P)
		})
	}
}
