package address

import "testing"

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.140": "203.0.113.140", " 203.0.113.140\n": "203.0.113.140", "8.8.8.8": "8.8.8.8",
		"192.0.2.1": "192.0.2.1", "198.51.100.1": "198.51.100.1", "2001:db8::1": "2001:db8::1", "2001:DB8:0::1": "2001:db8::1",
		"1.2.3.4:443": "1.2.3.4", "[2a00::1]:443": "2a00::1", "::ffff:1.2.3.4": "1.2.3.4", "[::ffff:1.2.3.4]:1": "1.2.3.4",
		"100.63.1.1": "100.63.1.1", "172.32.0.1": "172.32.0.1",

		"": "", "-": "", "AWS Internal": "", "Internal": "", "ecs.aliyuncs.com": "", "cloudtrail.amazonaws.com": "",
		"253.252.51.07": "", "035.249.253.232": "", "300.1.1.1": "", "42.120.XX.XX": "", "1.2.3": "", "1.2.3.4.5": "", "1.2.3.4/24": "",
		"0.0.0.0": "", "10.0.0.1": "", "127.0.0.1": "", "169.254.1.1": "", "172.16.0.1": "", "192.168.1.1": "", "100.64.0.1": "",
		"198.18.0.1": "", "224.0.0.1": "", "240.0.0.1": "", "255.255.255.255": "", "192.0.0.1": "",
		"::": "", "::1": "", "fe80::1": "", "fe80::1%eth0": "", "2a00::1%eth0": "", "fd00::1": "", "ff02::1": "", "64:ff9b::1": "",
		"::ffff:10.0.0.1": "", "1.2.3.4:": "", "1.2.3.4:99999": "", "a.b": "", "face:b00c": "",
	} {
		got := ""
		if a, ok := Parse(text); ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// FuzzParse: what is an address is the same address when it is written again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "1.2.3.4:5", "[2a00::1]:443", "::ffff:1.2.3.4", "fe80::1%eth0", "1.02.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := Parse(text)
		if !ok {
			return
		}
		if b, ok := Parse(a.String()); !ok || a != b || a.Is4In6() || a.Zone() != "" {
			t.Errorf("%q is %v, which is %v", text, a, b)
		}
	})
}
